"""What a run directory says of its input holds from wherever one stands."""

import shutil
from pathlib import Path

import pytest
from harness.prompts import columns, write_rows

from batchrun import Job, run
from batchrun.engine.execution import Options
from batchrun.job.sections import Input, Model, Output
from batchrun.results.export import export

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def made(path: str) -> None:
    job = Job(name="job", input=Input(path=(path,)), model=Model(names=(MODEL,)), output=Output(dir="out"))
    run(job, Options(simulate=True))


def test_an_export_finds_the_input_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another file under the same name it takes nothing."""
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
def test_a_folder_that_cannot_be_noted_is_no_trouble(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is gone by then, or whose name is no text."""
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
