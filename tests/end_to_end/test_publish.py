"""Publishing is a process of its own: what becomes of it never touches the run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts

from batchrun import dispatch

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
_FAKE_WANDB = """
import os, pathlib, time
pathlib.Path("began").write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def stuck_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK of W&B that never comes back."""
    (tmp_path / "sdk").mkdir()
    (tmp_path / "sdk/wandb.py").write_text(_FAKE_WANDB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "sdk"))
    monkeypatch.setenv("WANDB_MODE", "offline")


def began() -> int:
    """Return the process that publishes, once it is there."""
    deadline_s = time.monotonic() + 20
    while not (path := Path("began")).exists() or not path.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return int(path.read_text())


def is_gone(pid: int) -> bool:
    """Return whether a process ends within some seconds."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_a_run_whose_publishing_fails_ends_as_it_would_have(run: Any, batchrun: Any) -> None:
    """And says with which command it is published later; which says where the trouble is."""
    said = run(write_prompts("one"), "--weave", "team/project", "--json")
    assert said.code == 0
    assert said.json["state"] == "completed"
    assert "no key to publish with" in said.stderr
    assert "batchrun publish out --weave team/project" in said.stderr
    again = batchrun("publish", "out")
    assert again.code == 4
    assert "no key to publish with" in again.stderr


def test_a_run_that_is_refused_is_not_published(batchrun: Any) -> None:
    said = batchrun("run", "nowhere.jsonl", "-m", MODEL, "--simulate", "-o", "out", "--wandb", "team/project")
    assert said.code == 2
    assert not Path("out").exists()


def test_quiet_is_quiet(run: Any) -> None:
    said = run(write_prompts("one"), "--weave", "team/project", "--quiet")
    assert (said.code, said.stderr) == (0, "")


@pytest.mark.parametrize("name", ["team", "team/", "/project", "team/project/more", "team/pro ject"])
def test_a_project_has_a_team_and_a_name(batchrun: Any, run: Any, name: str) -> None:
    assert run(write_prompts("one")).code == 0
    said = batchrun("publish", "out", "--weave", name)
    assert said.code == 2
    assert "must be TEAM/PROJECT" in said.stderr


def test_publish_wants_to_know_where_to_and_of_which_run(batchrun: Any, run: Any) -> None:
    assert run(write_prompts("one")).code == 0
    said = batchrun("publish", "out")
    assert said.code == 2
    assert "--weave TEAM/PROJECT" in said.stderr
    assert batchrun("publish", "nothing", "--weave", "team/project").code == 3


def test_an_sdk_that_never_comes_back_is_given_up(stuck_sdk: None, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is complete by then; the process that hung is gone."""
    monkeypatch.setattr(dispatch, "_SILENCE_S", 0.5)
    said = run(write_prompts("one"), "--wandb", "team/project")
    assert said.code == 0
    assert "publishing was ended before it was done; go on with: batchrun publish out --wandb" in said.stderr
    assert len(results()) == 1
    assert not Path("began").exists() or is_gone(began())


def test_ctrl_c_ends_the_publishing_not_the_run(stuck_sdk: None, spawn: Any, endpoint: Any) -> None:
    """It was over, and stays as it ended."""
    path = write_prompts("one")
    process = spawn("run", path, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--wandb", "team/project")
    pid = began()
    endpoint.wait(lambda: '"completed"' in (Path("out/run.json").read_text() if Path("out/run.json").exists() else ""))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert is_gone(pid)
    assert "go on with: batchrun publish out --wandb team/project" in process.stderr.read()


def test_who_is_killed_leaves_nobody_behind(stuck_sdk: None, spawn: Any, run: Any) -> None:
    assert run(write_prompts("one")).code == 0
    process = spawn("publish", "out", "--wandb", "team/project")
    pid = began()
    process.kill()
    assert is_gone(pid)


def test_the_help_and_the_library_import_no_sdk() -> None:
    """Nor what publishes: they are as fast as without."""
    unwanted = "[name for name in sys.modules if 'integrations' in name or name in ('wandb', 'weave')]"
    script = f"import sys, batchrun.cli.run, batchrun.cli.publish; print({unwanted})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LORA = "wandb-artifact:///team/project/summaries:v3"


@pytest.mark.parametrize("name", [LORA, f"wandb/{LORA}"])
def test_a_fine_tuned_model_is_a_model_like_any_other(batchrun: Any, endpoint: Any, name: str) -> None:
    """Its name goes out as it is, without LiteLLM's prefix, and stands everywhere; no price is known, so no cost."""
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{name}"\n'
        f'[endpoint]\nprovider = "wandb"\nbase_url = "{endpoint.base_url}"\napi_key_env = "OPENAI_API_KEY"\n'
    )
    write_prompts("one", "two")
    said = batchrun("run", "job.toml", "-o", "out", "--json")
    assert said.code == 0, said.stderr
    assert [row["model"] for row in results()] == [LORA] * 2
    assert [row["cost_usd"] for row in results()] == [None] * 2
    assert all(row["total_tokens"] > 0 for row in results())
    (usage,) = said.json["models"]
    assert (usage["model"], usage["cost_usd"], usage["completed"]) == (LORA, None, 2)
    assert said.json["cost_usd"] is None
    assert "no price known" in batchrun("status", "out").stdout
    assert batchrun("report", "out").code == 0
    assert LORA in Path("out/report.html").read_text()
    assert batchrun("export", "out", "--wide").code == 0
    assert batchrun("run", "job.toml", "-o", "out").code == 0, "it goes on under that name"
    assert endpoint.stats.totals()["answered"] == 2


def test_a_cap_on_a_fine_tuned_model_wants_its_price_and_keeps_it(run: Any) -> None:
    """There is no list that has it: the job says it."""
    said = run(write_prompts("one"), "--max-cost", "1", model=LORA)
    assert said.code == 2
    assert f'[prices."{LORA}"]' in said.stderr
    prices = f'[prices."{LORA}"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 2\n'
    Path("job.toml").write_text(f'[input]\npath = "in.jsonl"\n{prices}')
    assert run("job.toml", "--max-cost", "1", model=LORA).code == 0
    (row,) = results()
    assert row["cost_usd"] == pytest.approx((row["prompt_tokens"] + 2 * row["completion_tokens"]) / 1e6)
