"""The run of a job file that an older version kept elsewhere is found, and its answers are not bought again."""

import dataclasses
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.prompts import write_rows

from batchrun.checkpoint.store import Store
from batchrun.engine.earlier import refuse_moved
from batchrun.engine.options import Options
from batchrun.engine.runner import run
from batchrun.errors import JobError
from batchrun.job.file import load_job
from batchrun.job.sections import Job, Output

JOB = '[input]\npath = "{}"\n[model]\nname = "m"\n[output]\ndir = "runs/mine"\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs in a folder, and a run in the place where the first releases kept it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_rows("jobs/in.jsonl", {"prompt": "a"}, {"prompt": "b"})
    write_rows("jobs/other.jsonl", {"prompt": "c"})
    Path("jobs/label.toml").write_text(JOB.format("in.jsonl"))
    Path("jobs/second.toml").write_text(JOB.format("in.jsonl"))
    started_before(load("label"))


def load(name: str, out: str | None = None) -> Job:
    return load_job(f"jobs/{name}.toml", None if out is None else {("output", "dir"): ("--out", out)})


def started_before(job: Job) -> None:
    """Run a job where an older version would have run it."""
    run(load(job.name, out="runs/mine"), Options(simulate=True))


def test_the_earlier_run_is_named_instead_of_bought_again() -> None:
    """With commands that use it; both work when they are typed."""
    with pytest.raises(JobError) as caught:
        run(load("label"), Options(simulate=True))
    message = str(caught.value)
    assert message.startswith("runs/mine: holds an earlier run of this job with 2 rows, ")
    assert "relative to the file: jobs/runs/mine" in message
    assert not Path("jobs/runs").exists()
    move = message.partition("Move the run there: ")[2].partition(", or ")[0]
    subprocess.run(move, shell=True, check=True)
    assert run(load("label"), Options(simulate=True)).newly_settled == 0


def test_a_run_that_is_named_is_used() -> None:
    """`-o` is relative to the current directory."""
    assert run(load("label", out="runs/mine"), Options(simulate=True)).newly_settled == 0
    job = dataclasses.replace(load("label"), output=Output(dir="runs/other"))
    assert run(job, Options(simulate=True)).newly_settled == 2
    assert run(load("label", out="jobs/runs/mine"), Options(simulate=True)).newly_settled == 2


def test_a_run_of_another_job_or_another_input_is_not_in_the_way() -> None:
    """Nor is one without answers, or a file that is not a checkpoint."""
    refuse_moved(load("second"))
    Path("jobs/label.toml").write_text(JOB.format("other.jsonl"))
    refuse_moved(load("label"))
    Path("jobs/label.toml").write_text(JOB.format("in.jsonl"))
    shutil.rmtree("runs/mine")
    Path("runs/mine").mkdir()
    with Store(Path("runs/mine")):
        pass
    refuse_moved(load("label"))
    Path("runs/mine/checkpoint.sqlite").write_bytes(b"no")
    refuse_moved(load("label"))


def test_a_run_in_the_new_place_comes_first_and_restart_starts_over() -> None:
    """The earlier one stays as it is."""
    assert run(load("label"), Options(simulate=True, restart=True)).newly_settled == 2
    assert run(load("label"), Options(simulate=True)).newly_settled == 0


def test_the_same_job_is_the_same_run_from_every_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As from cron, where the current directory is the home folder."""
    shutil.rmtree("runs")
    assert run(load("label"), Options(simulate=True)).newly_settled == 2
    monkeypatch.chdir(tmp_path / "jobs")
    assert run(load_job("label.toml"), Options(simulate=True)).newly_settled == 0
    monkeypatch.chdir("/")
    assert run(load_job(tmp_path / "jobs/label.toml"), Options(simulate=True)).newly_settled == 0


def test_names_with_spaces_are_quoted() -> None:
    """The move works there too."""
    Path("my jobs").mkdir()
    write_rows("my jobs/in.jsonl", {"prompt": "a"})
    Path("my jobs/label.toml").write_text(JOB.format("in.jsonl").replace("runs/mine", "my runs/it's"))
    run(load_job("my jobs/label.toml", {("output", "dir"): ("--out", "my runs/it's")}), Options(simulate=True))
    with pytest.raises(JobError) as caught:
        refuse_moved(load_job("my jobs/label.toml"))
    assert f"-o {shlex.quote(str(Path('my runs/it' + chr(39) + 's')))}" in str(caught.value)
