"""Reading run.json, and changing its scores."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchrun.endpoint.pool.budget import Amount
from batchrun.job.sections import Input, Job, Model
from batchrun.results.replace import replacing_together
from batchrun.results.summary import Recorded, Status, read_summary, save_scores, summarize

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
