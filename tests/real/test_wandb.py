"""The real SDK of W&B, offline: what it gets of a run, and that it never disturbs the run."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.finished import Finished
from harness.prompts import results, write_prompts
from real.conftest import Batchrun
from real.outside import Outside, outside
from real.wandb_stub import wandb_stub

KEY = "0123456789" * 4
MODEL = "meta-llama/Llama-3.1-8B-Instruct"

Command = Callable[..., Finished]


@pytest.fixture
def strangers() -> Iterator[Outside]:
    """All other machines."""
    with outside() as found:
        yield found


@pytest.fixture
def command(batchrun: Batchrun, installed: Any, strangers: Outside) -> Command:
    """Run a command with the SDK installed, offline, with a key."""
    python = installed("wandb").python

    def command(*arguments: Any, **variables: str) -> Finished:
        environment = {"WANDB_MODE": "offline", "WANDB_API_KEY": KEY} | strangers.variables | variables
        return batchrun(*arguments, python=python, **environment)

    return command


@pytest.fixture
def recorded(installed: Any) -> Callable[[], list[dict[str, Any]]]:
    """Return what W&B recorded in `out`, one entry for each W&B run."""

    def recorded() -> list[dict[str, Any]]:
        script = Path(__file__).with_name("wandb_records.py")
        found = []
        for path in sorted(Path("out/wandb").glob("offline-run-*/run-*.wandb")):
            done = subprocess.run(
                [installed("wandb").python, script, path], capture_output=True, text=True, timeout=60, check=True
            )
            found.append(json.loads(done.stdout))
        return found

    return recorded


def files() -> bytes:
    """Return all files in the current folder."""
    return b"".join(path.read_bytes() for path in Path().rglob("*") if path.is_file())


def test_a_run_has_live_metrics_and_ends_with_totals_and_files(
    command: Command, recorded: Callable[[], list[dict[str, Any]]], strangers: Outside
) -> None:
    """The job is the config, totals are the summary, results and report an artifact; the key is nowhere."""
    write_prompts(*(f"say {number}" for number in range(240)))
    arguments = ("in.jsonl", "-m", MODEL, "--temperature", "0", "--simulate", "-c", "16", "-o", "out")
    done = command("run", *arguments, "--wandb", "team/project")
    assert done.code == 0, done.stderr
    assert "send it: wandb sync out/wandb\n" in done.stderr
    assert "publish" not in done.stderr
    (run,) = recorded()
    assert run["run"][:2] == ["team", "project"]
    assert run["run"][3] == "out"
    assert run["config"]["model"]["names"] == [MODEL]
    assert run["config"]["model"]["temperature"] == 0
    names = {"rows", "rows_per_s", "in_flight", "limit", "tokens", "cost_usd", "failed", "throttled"}
    assert names <= set().union(*run["history"])
    counts = [each["rows"] for each in run["history"]]
    assert counts == sorted(counts)
    assert counts[-1] == 240
    assert any(0 < count < 240 for count in counts), counts
    assert run["summary"]["completed"] == 240
    assert run["summary"]["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in results()))
    assert run["summary"]["state"] == "completed"
    assert [each[:2] for each in run["artifacts"]] == [["out-results", ["report.html", "results.parquet"]]]
    assert run["exit"] == 0
    assert KEY.encode() not in files()
    assert strangers.asked == []
    assert sorted(path.name for path in Path().iterdir()) == ["in.jsonl", "out"], "nothing lies about"
    home = Path(os.environ["HOME"])
    assert [each for each in (".cache", ".config", ".local/share") if (home / each / "wandb").exists()] == []


def test_a_finished_run_is_published_once(command: Command, recorded: Callable[[], list[dict[str, Any]]]) -> None:
    """Also when it is published twice; changes are published again."""
    write_prompts("one", "[[simulate: 400]]")
    assert command("run", "in.jsonl", "-m", MODEL, "--simulate", "-o", "out").code == 1
    for _ in range(2):
        assert command("publish", "out", "--wandb", "team/project").code == 0
    (run,) = recorded()
    assert (run["summary"]["completed"], run["summary"]["failed"]) == (1, 1)
    write_prompts("one", "two")
    assert command("run", "in.jsonl", "-m", MODEL, "--simulate", "-o", "out", "--yes").code == 0
    assert command("publish", "out", "--wandb", "team/project").code == 0
    assert [run["summary"]["completed"] for run in recorded()] == [1, 2]


def test_parts_recorded_offline_become_one_history(command: Command, installed: Any, strangers: Outside) -> None:
    """The SDK's own command sends the parts one after the other, in order."""
    with wandb_stub() as server:
        arguments = ("run", "in.jsonl", "-m", MODEL, "--simulate", "-o", "out", "-c", "1", "--wandb", "team/project")
        for rows in (10, 25, 25):
            write_prompts(*(f"say {number}" for number in range(rows)))
            done = command(*arguments, WANDB_BASE_URL=server.base_url)
            assert done.code == 0, done.stderr
        assert "wandb: team/project: already published" in done.stderr
        assert server.asked == []
        variables = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.base_url, "WANDB_ERROR_REPORTING": "false"}
        sync = [installed("wandb").command("wandb"), "sync", "out/wandb"]
        done = subprocess.run(
            sync, env=os.environ | strangers.variables | variables, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.count("Finished syncing") + done.stderr.count("Finished syncing") == 2, done.stderr
        (run,) = server.runs.values()
    rows_shown = [each["rows"] for each in run.history]
    assert rows_shown == sorted(rows_shown)
    assert {10, 25} < set(rows_shown)
    assert [each["_step"] for each in run.history] == list(range(len(rows_shown)))
    assert json.loads(run.summary)["completed"] == 25


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_w_and_b_refuses_is_reported(command: Command, status: int) -> None:
    """With batchrun's message and exit code for it; the key was found under the name of the server."""
    write_prompts("one")
    assert command("run", "in.jsonl", "-m", MODEL, "--simulate", "-o", "out").code == 0
    with wandb_stub() as server:
        server.status = status
        netrc = Path(os.environ["HOME"], ".netrc")
        netrc.write_text(f"machine {server.base_url.removeprefix('http://')} login user password {KEY}\n")
        variables = {"WANDB_MODE": "online", "WANDB_API_KEY": "", "WANDB_BASE_URL": server.base_url}
        done = command("publish", "out", "--wandb", "team/project", **variables)
        key = base64.b64encode(f"api:{KEY}".encode()).decode()
        assert server.keys == {f"Basic {key}"}
    assert done.code == 4, done.stderr
    assert f"wandb: team/project: the key may not write there (HTTP {status}); check WANDB_API_KEY" in done.stderr
    done = command("publish", "out", "--wandb", "team/project", WANDB_MODE="online", WANDB_API_KEY="short")
    assert done.code == 4, done.stderr
    assert "40" in done.stderr


def test_offline_all_recorded_data_is_in_the_run_directory(command: Command, recorded: Callable[[], list[Any]]) -> None:
    """The home folder is neither needed nor changed."""
    write_prompts("one")
    assert command("run", "in.jsonl", "-m", MODEL, "--simulate", "-o", "out").code == 0
    done = command("publish", "out", "--wandb", "team/project", HOME="/proc/nothing")
    assert done.code == 0, done.stderr
    (run,) = recorded()
    ((_, _, copies),) = run["artifacts"]
    assert [Path(each).is_relative_to(Path("out/wandb").absolute()) for each in copies] == [True, True]
    assert all(Path(each).exists() for each in copies)


def test_an_outage_of_w_and_b_does_not_change_the_run(command: Command) -> None:
    """The run ends normally, and the message says how to publish it later."""
    write_prompts("one", "two")
    began_s = time.monotonic()
    nowhere = "http://127.0.0.1:9"
    arguments = ("run", "in.jsonl", "-m", MODEL, "--simulate", "-o", "out", "--wandb", "team/project")
    done = command(*arguments, WANDB_MODE="online", WANDB_BASE_URL=nowhere)
    assert done.code == 0
    assert "batchrun publish out --wandb team/project" in done.stderr
    assert len(results()) == 2
    assert time.monotonic() - began_s < 100, "it was waited for, and not for long"
    assert KEY.encode() not in files()
    done = command(
        "run",
        "in.jsonl",
        "-m",
        MODEL,
        "--simulate",
        "-o",
        "keyless",
        "--wandb",
        "team/project",
        WANDB_MODE="online",
        WANDB_API_KEY="",
    )
    assert done.code == 0
    assert "WANDB_API_KEY" in done.stderr
