"""The answers of one model in one run."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from batchrun.report.sides import Compared, Side, compared_in, prompts_of

TYPED = {"label": pa.string(), "tags": pa.list_(pa.string()), "stars": pa.int64()}


def side(path: Path, model: str = "m") -> Side:
    return Side(path.parent, path, model)


def test_scores_and_plain_labels_are_compared(write_results: Any) -> None:
    """Without plain labels the whole texts are; they are rarely the same."""
    extra = {"text": pa.string(), "parts": pa.list_(pa.string())}
    typed = side(write_results({"row": 0}, typed=TYPED, extra=extra, is_scored=True))
    assert compared_in(typed, typed) == Compared(["score"], ["label", "stars"], ["text"], frozenset({"stars"}))
    plain = side(write_results({"row": 0}))
    found = compared_in(plain, plain)
    assert found == Compared([], ["response"], [])
    assert found.are_free_texts


def test_samples_become_one_mean_and_one_majority(write_results: Any) -> None:
    """Failed answers and other models do not count; a tie has no label."""
    answers = [
        {"row": 0, "label": "a", "score": 1.0},
        {"row": 0, "label": "a", "score": 0.0, "sample": 1, "response": "later"},
        {"row": 0, "label": "b", "score": None, "sample": 2},
        {"row": 0, "label": "z", "score": 1.0, "model": "other"},
        {"row": 2, "label": "a"},
        {"row": 2, "label": "b", "sample": 1},
        {"row": 3, "label": None, "status": "failed", "response": None},
    ]
    its = side(write_results(*answers, typed=TYPED, is_scored=True))
    found = list(prompts_of(its, Compared(["score"], ["label"], [])))
    assert [(each.row, each.scores, each.labels, each.text) for each in found] == [
        (0, (0.5,), ("a",), "yes"),
        (2, (None,), (None,), "yes"),
        (3, (None,), (None,), None),
    ]
