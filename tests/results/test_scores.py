"""Scores of rows, computed while the results are written."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from batchrun.answers.scores.scorers import FunctionScorer, NamedFunction
from batchrun.errors import JobError
from batchrun.job.sections import Evaluate
from batchrun.results.scores import FunctionJudge, Judge, Scoring, TargetJudge, scorer_of

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


def scores(judge: Judge, batch: pa.RecordBatch, objects: Any = None) -> list[Any]:
    return list(Scoring(judge, 1).column(batch, objects).to_pylist())


def test_answers_are_compared_with_the_target() -> None:
    """A completed row without a text counts as an empty answer; a failed row has no score."""
    batch = rows("a", "b", "", None, right=["a", "a", "a", "a"])
    assert scores(TargetJudge(EXACT, "right"), batch) == [1.0, 0.0, 0.0, None]


@pytest.mark.parametrize(
    "right",
    [
        pa.array([7]),
        pa.array([7.0]),
        pa.array(["7"]).dictionary_encode(),
        pa.array([" 7 "], pa.large_string()),
        pa.array([7_000_000_001], pa.timestamp("ns")),
        pa.array([2**31 - 1], pa.date32()),
    ],
    ids=lambda column: str(column.type),
)
def test_a_target_may_be_of_any_type(right: pa.Array) -> None:
    """7.0 matches the answer "7". A value that Python cannot represent counts as no target."""
    expected = [1.0] if not pa.types.is_temporal(right.type) else [None] if pa.types.is_date(right.type) else [0.0]
    assert scores(TargetJudge(EXACT, "right"), rows("7", right=right)) == expected


def test_without_a_target_column_no_row_has_a_score() -> None:
    """The input file may be missing."""
    assert scores(TargetJudge(EXACT, None), rows("a", None)) == [None, None]


def test_a_property_is_taken_from_the_object_that_the_schema_found() -> None:
    """Without such an object, it is taken from the text of the answer."""
    judge = TargetJudge(Evaluate(target="right", scorer="json_field", field="n"), "right")
    batch = rows('{"n": 1}', '{"n": 1}', right=[2, 2])
    assert scores(judge, batch, [{"n": 2}, None]) == [1.0, 0.0]
    assert scores(judge, batch) == [0.0, 0.0]


def test_a_function_gets_completed_rows_with_all_columns() -> None:
    """Each row is a separate dict."""
    seen = []

    def function(row: dict[str, Any]) -> float:
        seen.append(dict(row))
        row.clear()
        return 0.5

    judge = FunctionJudge(FunctionScorer(NamedFunction("f", function)))
    assert scores(judge, rows("a", None, "c", extra=[1, 2, 3])) == [0.5, None, 0.5]
    assert [(row["row"], row["response"], row["extra"]) for row in seen] == [(0, "a", 1), (2, "c", 3)]


def test_the_scores_of_all_batches_are_added() -> None:
    """There is one entry per model, in the form of JSON. Rows without a model are not counted."""
    scoring = Scoring(TargetJudge(EXACT, "right"), 1)
    for batch in cut(rows(*"abababab", right=["a"] * 8)):
        scoring.column(batch, None)
    scoring.column(rows(None, model="", right=["a"]), None)
    (entry,) = scoring.table()
    low, high = entry.pop("interval")
    assert 0 < low < 0.5 < high < 1
    assert entry == {
        "model": "m",
        "scored": 8,
        "unscored": 0,
        "prompts": 8,
        "mean": 0.5,
        "pass_at": {},
        "labels": None,
    }


def cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    yield from (batch[:1], batch[1:6], batch[6:])


def test_invalid_settings_of_a_scorer_are_refused() -> None:
    """The message names the setting."""
    with pytest.raises(JobError, match=r"evaluate\.pattern"):
        scorer_of(Evaluate(target="right", scorer="regex"))


@pytest.mark.parametrize(
    ("scorer", "classes", "has_labels"), [("number", 11, True), ("number", 12, False), ("exact", 12, True)]
)
def test_more_numbers_than_ratings_have_are_not_labels(scorer: str, classes: int, has_labels: bool) -> None:
    """The right answers of arithmetic repeat too; a table of them says nothing."""
    texts = [str(number) for number in range(classes)] * 5
    scoring = Scoring(TargetJudge(Evaluate(target="right", scorer=scorer), "right"), 1)
    scoring.column(rows(*texts, right=texts), None)
    assert (scoring.table()[0]["labels"] is not None) is has_labels
