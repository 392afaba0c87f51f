"""Reading run.json, and changing its scores."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import RunDirectoryError
from batchrun.job.sections import Input, Job, Model
from batchrun.results.recorded import Status
from batchrun.results.replace import replacing_together
from batchrun.results.run_json import save_ending, save_scores
from batchrun.results.summary import summarize
from batchrun.storage.runs import read_summary

SCORES: list[dict[str, Any]] = [{"model": "m", "mean": 1.0}]


def test_new_scores_replace_the_old_ones(tmp_path: Path) -> None:
    """Nothing else in run.json changes."""
    (tmp_path / "run.json").write_text('{"state": "completed", "scores": [], "rows": 3}')
    with replacing_together() as files:
        save_scores(files, tmp_path, SCORES)
    assert read_summary(tmp_path) == {"state": "completed", "scores": SCORES, "rows": 3, "agreement": None}


@pytest.mark.parametrize("content", ['{"state": "running", "scores": []}', "[]", "{", None])
def test_the_run_json_of_a_running_run_is_not_changed(tmp_path: Path, content: str | None) -> None:
    """The run writes it itself. A run.json that is missing or unreadable is not written either."""
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with replacing_together() as files:
        save_scores(files, tmp_path, SCORES)
    assert (path.read_text() if path.exists() else None) == content


def test_an_unreadable_run_json_counts_as_empty(tmp_path: Path) -> None:
    """Any program may have changed it."""
    assert read_summary(tmp_path) == {}
    (tmp_path / "run.json").write_text(json.dumps([1]))
    assert read_summary(tmp_path) == {}


def test_the_ending_is_written_over_the_old_run_json_if_there_is_no_room_for_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk still has the blocks of the old file. Without an old file, nothing is written."""

    def full(path: Path) -> None:
        raise RunDirectoryError(f"{path}: No space left on device")

    monkeypatch.setattr("batchrun.results.run_json.replacing", full)
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))
    ending = summarize(job, tmp_path, Status(state="stopped", exit_code=3, message="No space"), {})
    save_ending(ending)
    assert not list(tmp_path.iterdir())
    (tmp_path / "run.json").write_text("{" + " " * 5_000 + '"state": "running", "pid": 1}')
    save_ending(ending)
    assert read_summary(tmp_path) == dataclasses.asdict(ending)
