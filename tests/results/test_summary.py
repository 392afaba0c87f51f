"""run.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchrun.results.replace import replacing_together
from batchrun.results.summary import read_summary, save_scores

SCORES: list[dict[str, Any]] = [{"model": "m", "mean": 1.0}]


def test_new_scores_take_the_place_of_the_old(tmp_path: Path) -> None:
    """And nothing else of run.json changes."""
    (tmp_path / "run.json").write_text('{"state": "completed", "scores": [], "rows": 3}')
    with replacing_together() as files:
        save_scores(files, tmp_path, SCORES)
    assert read_summary(tmp_path) == {"state": "completed", "scores": SCORES, "rows": 3}


@pytest.mark.parametrize("content", ['{"state": "running", "scores": []}', "[]", "{", None])
def test_a_run_that_goes_on_writes_its_own(tmp_path: Path, content: str | None) -> None:
    """What is there is not touched, and nothing is made of nothing."""
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with replacing_together() as files:
        save_scores(files, tmp_path, SCORES)
    assert (path.read_text() if path.exists() else None) == content


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    """A script may have made of it what it liked."""
    assert read_summary(tmp_path) == {}
    (tmp_path / "run.json").write_text(json.dumps([1]))
    assert read_summary(tmp_path) == {}
