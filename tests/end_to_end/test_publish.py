"""Publishing runs in a separate process: its problems never affect the run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts

from batchrun.publish import worker

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
KEY = "0123456789" * 4
_STUCK = """
import os, pathlib, time
pathlib.Path("began").write_text(str(os.getpid()))
time.sleep(600)
"""

Sdk = Callable[[str], None]


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sdk:
    """Return a function that installs a W&B SDK which runs some code when it is imported."""

    def sdk(script: str) -> None:
        (tmp_path / "sdk").mkdir()
        (tmp_path / "sdk/wandb.py").write_text(script)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "sdk"))
        monkeypatch.setenv("WANDB_MODE", "offline")

    return sdk


@pytest.fixture
def stuck_sdk(sdk: Sdk) -> None:
    """A W&B SDK that never returns."""
    sdk(_STUCK)


def began() -> int:
    """Wait for the process that publishes; return its id."""
    deadline_s = time.monotonic() + 20
    while not (path := Path("began")).exists() or not path.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return int(path.read_text())


def is_gone(pid: int) -> bool:
    """Return whether a process ends within some seconds."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_a_run_ends_normally_if_publishing_fails(run: Any, batchrun: Any) -> None:
    """The message has the command to publish later, and this command reports the problem."""
    done = run(write_prompts("one"), "--weave", "team/project", "--json")
    assert done.code == 0
    assert done.json["state"] == "completed"
    assert done.stderr.count("no key to publish with") == 1
    assert "batchrun publish out --weave team/project" in done.stderr
    again = batchrun("publish", "out")
    assert again.code == 4
    assert "no key to publish with" in again.stderr


def test_a_run_that_cannot_be_published_reports_it_at_its_start(spawn: Any, endpoint: Any) -> None:
    """The user does not learn it only at the end."""
    endpoint.change(latency_s=50)
    path = write_prompts("one")
    process = spawn("run", path, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--wandb", "team/project")
    assert any("no key to publish with" in line for line in process.stderr)
    assert process.poll() is None
    process.kill()


def test_a_run_that_is_refused_is_not_published(batchrun: Any) -> None:
    done = batchrun("run", "nowhere.jsonl", "-m", MODEL, "--simulate", "-o", "out", "--wandb", "team/project")
    assert done.code == 2
    assert not Path("out").exists()


def test_a_failed_publication_is_reported_even_with_quiet(run: Any) -> None:
    """It is in the JSON too. Exit code and run.json are those of the run."""
    done = run(write_prompts("one"), "--weave", "team/project", "--wandb", "team/other", "--quiet", "--json")
    assert done.code == 0
    for text in (done.stderr, done.json["message"]):
        assert text.count("not published: no key to publish with") == 2
        assert "publish it again: batchrun publish out --weave team/project --wandb team/other" in text
    assert json.loads(Path("out/run.json").read_text())["message"] == ""


def test_the_message_about_an_invalid_key_has_its_problem(
    run: Any, batchrun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(write_prompts("one")).code == 0
    monkeypatch.setenv("WANDB_API_KEY", "with spaces in it 0123456789")
    done = batchrun("publish", "out", "--weave", "team/project")
    assert done.code == 4
    assert "has a space" in done.stderr


@pytest.mark.parametrize("name", ["WANDB_BASE_URL", "WF_TRACE_SERVER_URL"])
def test_no_key_leaves_this_machine_unencrypted(
    run: Any, batchrun: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert run(write_prompts("one")).code == 0
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv(name, "http://192.0.2.2:9")
    done = batchrun("publish", "out", "--weave", "team/project")
    assert done.code == 2
    assert f"{name} = http://192.0.2.2:9; must be https" in done.stderr


@pytest.mark.parametrize("name", ["team", "team/", "/project", "team/project/more", "team/pro ject"])
def test_a_project_has_a_team_and_a_name(batchrun: Any, run: Any, name: str) -> None:
    assert run(write_prompts("one")).code == 0
    done = batchrun("publish", "out", "--weave", name)
    assert done.code == 2
    assert "must be TEAM/PROJECT" in done.stderr


def test_publish_needs_a_target_and_a_run(batchrun: Any, run: Any) -> None:
    assert run(write_prompts("one")).code == 0
    done = batchrun("publish", "out")
    assert done.code == 2
    assert "--weave TEAM/PROJECT" in done.stderr
    assert batchrun("publish", "nothing", "--weave", "team/project").code == 3


def test_a_process_with_an_sdk_that_never_returns_is_killed(
    stuck_sdk: None, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is complete at that time; the process no longer exists."""
    monkeypatch.setattr(worker, "_SILENCE_S", 0.5)
    done = run(write_prompts("one"), "--wandb", "team/project")
    assert done.code == 0
    assert "not published: the process that publishes was silent for 0 s" in done.stderr
    assert "again: batchrun publish out --wandb team/project" in done.stderr
    assert len(results()) == 1
    assert not Path("began").exists() or is_gone(began())


def test_ctrl_c_stops_publishing_and_does_not_change_the_run(stuck_sdk: None, spawn: Any, endpoint: Any) -> None:
    """The run had ended before."""
    path = write_prompts("one")
    process = spawn("run", path, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--wandb", "team/project")
    pid = began()
    endpoint.wait(lambda: '"completed"' in (Path("out/run.json").read_text() if Path("out/run.json").exists() else ""))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert is_gone(pid)
    assert "resume it: batchrun publish out --wandb team/project" in process.stderr.read()


@pytest.mark.parametrize(
    ("death", "message"),
    [
        ("os.kill(os.getpid(), 9)", "by a signal (Killed)"),
        ("os.abort()", "by a signal (Aborted)"),
        ("os._exit(1)", "with code 1"),
        ("os._exit(0)", ""),
    ],
)
def test_a_publishing_process_that_dies_without_a_message_is_reported(
    sdk: Sdk, batchrun: Any, run: Any, death: str, message: str
) -> None:
    """Output of the SDK is not treated as its message."""
    sdk(f"import os\nprint('noise', flush=True)\nprint('[1]', flush=True)\n{death}\n")
    ran = run(write_prompts("one"), "--wandb", "team/project")
    again = batchrun("publish", "out", "--wandb", "team/project")
    assert ran.code == 0
    assert "noise" not in ran.stderr + again.stderr
    if not message:
        assert again.code == 0
        return
    assert again.code == 5
    for each in (ran, again):
        assert f"the process that publishes was ended {message} and left no message" in each.stderr


def test_a_run_ends_normally_if_the_publishing_process_cannot_start(
    batchrun: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.tempfile, "tempdir", "nowhere")
    ran = run(write_prompts("one"), "--wandb", "team/project", "--weave", "team/project")
    assert ran.code == 0
    assert ran.stderr.count("not published: the process that publishes could not be started: ") == 2
    again = batchrun("publish", "out", "--wandb", "team/project")
    assert again.code == 5
    assert "the process that publishes could not be started: " in again.stderr


def test_two_processes_never_publish_to_a_system_at_the_same_time(
    stuck_sdk: None, spawn: Any, batchrun: Any, run: Any
) -> None:
    """The second one is refused, with the reason."""
    assert run(write_prompts("one")).code == 0
    process = spawn("publish", "out", "--wandb", "team/project")
    began()
    done = batchrun("publish", "out", "--wandb", "team/project")
    assert done.code == 3
    assert "out: another process publishes it to wandb" in done.stderr
    process.kill()


def test_a_run_that_is_being_published_cannot_be_published_by_another_process(
    stuck_sdk: None, spawn: Any, batchrun: Any, endpoint: Any
) -> None:
    """It can be after the end of the run."""
    endpoint.change(latency_s=5)
    path = write_prompts("one")
    process = spawn("run", path, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--wandb", "team/project")
    pid = began()
    done = batchrun("publish", "out", "--wandb", "team/project")
    assert done.code == 3
    assert "out: another process publishes it to wandb" in done.stderr
    process.kill()
    os.kill(pid, signal.SIGKILL)  # it hangs and would outlive its run
    assert is_gone(pid)


def test_a_killed_publish_leaves_no_process(stuck_sdk: None, spawn: Any, run: Any) -> None:
    assert run(write_prompts("one")).code == 0
    process = spawn("publish", "out", "--wandb", "team/project")
    pid = began()
    process.kill()
    assert is_gone(pid)


def test_the_help_and_the_library_import_no_sdk() -> None:
    """They do not import the publishing modules either, so they stay fast."""
    sdks = ("batchrun.publish.process", "batchrun.publish.wandb", "batchrun.publish.weave", "wandb", "weave")
    unwanted = f"[name for name in sys.modules if name.startswith({sdks!r})]"
    script = f"import sys, batchrun.cli.run, batchrun.cli.publish; print({unwanted})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LORA = "wandb-artifact:///team/project/summaries:v3"


@pytest.mark.parametrize("name", [LORA, f"wandb/{LORA}"])
def test_a_fine_tuned_model_is_a_model_like_any_other(batchrun: Any, endpoint: Any, name: str) -> None:
    """Its name is sent unchanged, without LiteLLM's prefix, and is in all results. Its price and cost are unknown."""
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{name}"\n'
        f'[endpoint]\nprovider = "wandb"\nbase_url = "{endpoint.base_url}"\napi_key_env = "OPENAI_API_KEY"\n'
    )
    write_prompts("one", "two")
    done = batchrun("run", "job.toml", "-o", "out", "--json")
    assert done.code == 0, done.stderr
    assert [row["model"] for row in results()] == [LORA] * 2
    assert [row["cost_usd"] for row in results()] == [None] * 2
    assert all(row["total_tokens"] > 0 for row in results())
    (usage,) = done.json["models"]
    assert (usage["model"], usage["cost_usd"], usage["completed"]) == (LORA, None, 2)
    assert done.json["cost_usd"] is None
    assert "no price known" in batchrun("status", "out").stdout
    assert batchrun("report", "out").code == 0
    assert LORA in Path("out/report.html").read_text()
    assert batchrun("export", "out", "--wide").code == 0
    assert batchrun("run", "job.toml", "-o", "out").code == 0, "the run does not resume with that name"
    assert endpoint.stats.totals()["answered"] == 2


def test_a_cap_for_a_fine_tuned_model_needs_its_price_in_the_job(run: Any) -> None:
    """No price list has it."""
    done = run(write_prompts("one"), "--max-cost", "1", model=LORA)
    assert done.code == 2
    assert f'[prices."{LORA}"]' in done.stderr
    prices = f'[prices."{LORA}"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 2\n'
    Path("job.toml").write_text(f'[input]\npath = "in.jsonl"\n{prices}')
    assert run("job.toml", "--max-cost", "1", model=LORA).code == 0
    (row,) = results()
    assert row["cost_usd"] == pytest.approx((row["prompt_tokens"] + 2 * row["completion_tokens"]) / 1e6)
