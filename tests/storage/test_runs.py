"""Run directories in a folder."""

import os
from pathlib import Path

import pytest

from batchrun.checkpoint.tables import FILE_NAME
from batchrun.storage.runs import RUN_FILE, is_run, runs_below, such_as_run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(*runs: str) -> None:
    """Make runs, each newer than the one before."""
    for age_s, run in enumerate(reversed(runs)):
        Path(run).mkdir(parents=True, exist_ok=True)
        Path(run, RUN_FILE).write_bytes(b"")
        os.utime(Path(run, RUN_FILE), (1_000_000_000 - age_s,) * 2)


def test_a_run_is_known_by_its_checkpoint() -> None:
    assert RUN_FILE == FILE_NAME
    make("runs/first")
    assert is_run(Path("runs/first"))
    assert not is_run(Path("runs"))
    Path("lost").mkdir()
    Path(f"lost/{RUN_FILE}-wal").write_bytes(b"")
    assert is_run(Path("lost"))


def test_the_runs_below_a_folder_are_found_but_not_the_judge_of_one() -> None:
    make("runs/b", "runs/b/judge", "runs/deep/a", "runs/.hidden/c")
    assert [str(each) for each in runs_below(Path("runs"))] == ["runs/b", "runs/deep/a"]


def test_of_a_folder_of_runs_the_newest_is_named() -> None:
    make("runs/old", "runs/deep/new", "runs/deep/new/judge")
    assert such_as_run(Path("runs")) == ", such as runs/deep/new"
    make("runs/old")
    os.utime(f"runs/old/{RUN_FILE}")
    assert such_as_run(Path("runs")) == ", such as runs/old"
    Path("empty").mkdir()
    assert such_as_run(Path("empty")) == such_as_run(Path("nowhere")) == ""
