"""A run directory finds its input from every current folder, and reports a job that it cannot read."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import columns, write_rows

from batchrun import Job, run
from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.engine.options import Options
from batchrun.errors import DamagedError, RunDirectoryError
from batchrun.job.sections import Input, Model, Output
from batchrun.job.serialization import job_to_dict
from batchrun.results.export import export
from batchrun.results.run_directory import stored_job

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def made(path: str) -> None:
    job = Job(name="job", input=Input(path=(path,)), model=Model(names=(MODEL,)), output=Output(dir="out"))
    run(job, Options(simulate=True))


def test_an_export_finds_the_input_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file with the same name is not used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made(write_rows("in.jsonl", {"prompt": "one", "note": "mine"}))
    before = columns()
    assert "note" in before
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write_rows("in.jsonl", {"prompt": "one", "other": "not mine"})
    assert export(tmp_path / "out").notices == []
    assert columns(str(tmp_path / "out")) == before


@pytest.mark.parametrize("name", [b"f\xff", b"gone"])
def test_a_current_folder_that_cannot_be_recorded_is_not_an_error(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It no longer exists, or its name is not valid UTF-8."""
    folder = Path(str(tmp_path), name.decode("utf-8", "surrogateescape"))
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write_rows(str(tmp_path / "in.jsonl"), {"prompt": "one"})
    if name == b"gone":
        shutil.rmtree(folder)
    job = Job(
        name="job", input=Input(path=(path,)), model=Model(names=(MODEL,)), output=Output(dir=str(tmp_path / "out"))
    )
    run(job, Options(simulate=True))
    assert export(tmp_path / "out").notices == []


@pytest.mark.parametrize(
    ("section", "settings", "unknown"),
    [
        ("limits", {"magic": 5}, "limits.magic"),
        ("jury", {"model": "m"}, "jury"),
        ("input", {"order": "sideways"}, "order = 'sideways'"),
        ("prices", {"m": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0, "audio": 2.0}}, 'prices."m".audio'),
    ],
)
def test_the_message_about_a_job_of_a_newer_version_says_how_to_read_it(
    tmp_path: Path, section: str, settings: dict[str, Any], unknown: str
) -> None:
    """It is not reported as damage, because salvage could not help."""
    data = job_to_dict(Job(name="job", input=Input(path=("in.jsonl",))))
    data.setdefault(section, {}).update(settings)
    with Store(tmp_path) as store:
        store.set_fact(facts.JOB, data)
        store.set_fact(facts.VERSION, "99.1")
    with Checkpoint(tmp_path) as checkpoint, pytest.raises(RunDirectoryError) as caught:
        stored_job(checkpoint)
    assert not isinstance(caught.value, DamagedError)
    message = str(caught.value)
    assert "was written by a newer batchrun (99.1; this one, " in message
    assert f"does not know {unknown} in the job" in message
    assert "run pip install . in a newer checkout" in message
