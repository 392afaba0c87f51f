"""A column of scores, added up while the results are written."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from batchrun.job.evaluate import Evaluate
from batchrun.results.row_scorers import ByTarget
from batchrun.results.scores import MOST_GROUPS, Scoring

EXACT = Evaluate(target="right")


def rows(*responses: str | None, model: str = "m", **others: list[Any]) -> pa.RecordBatch:
    """Return rows of the prompts 0, 1, …; a response of None is a failed row."""
    count = len(responses)
    columns = {
        "row": list(range(count)),
        "model": [model] * count,
        "status": ["failed" if each is None else "completed" for each in responses],
        "response": pa.array([each or None for each in responses], pa.string()),
    }
    return pa.record_batch(columns | others)


def test_the_scores_of_all_batches_are_added() -> None:
    """There is one entry per model, in the form of JSON. Rows without a model are not counted."""
    scoring = Scoring(ByTarget(EXACT, "right"), 1)
    for batch in cut(rows(*"abababab", right=["a"] * 8)):
        scoring.scores(batch, None)
    scoring.scores(rows(None, model="", right=["a"]), None)
    (entry,) = scoring.table()
    low, high = entry.pop("interval")
    assert 0 < low < 0.5 < high < 1
    assert entry == {
        "model": "m",
        "column": "score",
        "scored": 8,
        "unscored": 0,
        "prompts": 8,
        "mean": 0.5,
        "pass_at": {},
        "labels": None,
        "groups": [],
    }


def cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    yield from (batch[:1], batch[1:6], batch[6:])


@pytest.mark.parametrize(
    ("scorer", "classes", "has_labels"), [("number", 11, True), ("number", 12, False), ("exact", 12, True)]
)
def test_more_numbers_than_ratings_have_are_not_labels(scorer: str, classes: int, has_labels: bool) -> None:
    """The right answers of arithmetic repeat too; a table of them says nothing."""
    texts = [str(number) for number in range(classes)] * 5
    scoring = Scoring(ByTarget(Evaluate(target="right", scorer=scorer), "right"), 1)
    scoring.scores(rows(*texts, right=texts), None)
    assert (scoring.table()[0]["labels"] is not None) is has_labels


def test_each_group_has_its_own_mean() -> None:
    """Groups are sorted; a row without a value is in the group null. Failed rows count as not scored."""
    scoring = Scoring(ByTarget(EXACT, "right"), 1, by="subject")
    subjects = ["law", "art", "law", None, "art"]
    for batch in cut(rows("a", "a", "b", "a", None, right=["a"] * 5, subject=subjects)):
        scoring.scores(batch, None)
    (entry,) = scoring.table()
    found = [(each["group"], each["mean"], each["scored"], each["unscored"]) for each in entry["groups"]]
    assert found == [("art", 1.0, 1, 1), ("law", 0.5, 2, 0), (None, 1.0, 1, 0)]
    assert entry["groups"][1]["interval"][0] < 0.5 < entry["groups"][1]["interval"][1]


def test_a_column_with_too_many_values_makes_no_groups() -> None:
    """An id would fill the memory and the report."""
    scoring = Scoring(ByTarget(EXACT, "right"), 1, by="id")
    count = MOST_GROUPS + 1
    scoring.scores(rows(*"a" * count, right=["a"] * count, id=list(range(count))), None)
    assert scoring.has_too_many_groups
    assert scoring.table()[0]["groups"] == []
