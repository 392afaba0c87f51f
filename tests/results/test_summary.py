"""Reading run.json, and changing its scores."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from batchrun.endpoint.pool.budget import Amount
from batchrun.errors import RunDirectoryError
from batchrun.job.sections import Input, Job, Model
from batchrun.records import ModelTotals
from batchrun.results.replace import replacing_together
from batchrun.results.summary import Recorded, Status, read_summary, save_ending, save_scores, summarize

SCORES: list[dict[str, Any]] = [{"model": "m", "mean": 1.0}]


def test_new_scores_replace_the_old_ones(tmp_path: Path) -> None:
    """Nothing else in run.json changes."""
    (tmp_path / "run.json").write_text('{"state": "completed", "scores": [], "rows": 3}')
    with replacing_together() as files:
        save_scores(files, tmp_path, SCORES)
    assert read_summary(tmp_path) == {"state": "completed", "scores": SCORES, "rows": 3}


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


def test_nothing_set_aside_is_zero_and_not_minus_zero() -> None:
    """Sums of money leave a rest of a few 1e-18 on either side."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))
    recorded = Recorded(set_aside=Amount(-1e-18))
    summary = summarize(job, Path("out"), Status(state="completed"), {}, recorded=recorded)
    assert str(summary.set_aside_usd) == "0.0"


@pytest.mark.parametrize(
    ("sums", "text"),
    [
        (ModelTotals(2, 2, attempts=2, unstated=2), "not known: no answer states its tokens"),
        (ModelTotals(2, 2, 0, 2, 0, 3, 4, 7, unstated=1), "no price known"),
    ],
)
def test_why_a_cost_is_not_known_is_named(sums: ModelTotals, text: str) -> None:
    """The answers do not state what they used, or the price is missing."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))
    assert summarize(job, Path("out"), Status(state="completed"), {"m": sums}).cost_text == text


def test_the_ending_is_written_over_the_old_run_json_if_there_is_no_room_for_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk still has the blocks of the old file. Without an old file, nothing is written."""

    def full(path: Path) -> None:
        raise RunDirectoryError(f"{path}: No space left on device")

    monkeypatch.setattr("batchrun.results.summary.replacing", full)
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))
    ending = summarize(job, tmp_path, Status(state="stopped", exit_code=3, message="No space"), {})
    save_ending(ending)
    assert not list(tmp_path.iterdir())
    (tmp_path / "run.json").write_text("{" + " " * 5_000 + '"state": "running", "pid": 1}')
    save_ending(ending)
    assert read_summary(tmp_path) == dataclasses.asdict(ending)
