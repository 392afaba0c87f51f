"""Scores of rows by a target column or a function."""

from typing import Any

import pyarrow as pa
import pytest

from batchrun.answers.scores.scorers import FunctionScorer, NamedFunction
from batchrun.errors import JobError
from batchrun.job.evaluate import Evaluate
from batchrun.results.row_scorers import ByFunction, ByTarget, RowScorer, scorer_of

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


def scores(scorer: RowScorer, batch: pa.RecordBatch, objects: Any = None) -> list[Any]:
    return [score.value for score in scorer(batch, objects)]


def test_answers_are_compared_with_the_target() -> None:
    """A completed row without a text counts as an empty answer; a failed row has no score."""
    batch = rows("a", "b", "", None, right=["a", "a", "a", "a"])
    assert scores(ByTarget(EXACT, "right"), batch) == [1.0, 0.0, 0.0, None]


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
    assert scores(ByTarget(EXACT, "right"), rows("7", right=right)) == expected


def test_without_a_target_column_no_row_has_a_score() -> None:
    """The input file may be missing."""
    assert scores(ByTarget(EXACT, None), rows("a", None)) == [None, None]


def test_a_property_is_taken_from_the_object_that_the_schema_found() -> None:
    """Without such an object, it is taken from the text of the answer."""
    scorer = ByTarget(Evaluate(target="right", scorer="json_field", field="n"), "right")
    batch = rows('{"n": 1}', '{"n": 1}', right=[2, 2])
    assert scores(scorer, batch, [{"n": 2}, None]) == [1.0, 0.0]
    assert scores(scorer, batch) == [0.0, 0.0]


def test_a_function_gets_completed_rows_with_all_columns() -> None:
    """Each row is a separate dict."""
    seen = []

    def function(row: dict[str, Any]) -> float:
        seen.append(dict(row))
        row.clear()
        return 0.5

    scorer = ByFunction(FunctionScorer(NamedFunction("f", function)))
    assert scores(scorer, rows("a", None, "c", extra=[1, 2, 3])) == [0.5, None, 0.5]
    assert [(row["row"], row["response"], row["extra"]) for row in seen] == [(0, "a", 1), (2, "c", 3)]


def test_invalid_settings_of_a_scorer_are_refused() -> None:
    """The message names the setting."""
    with pytest.raises(JobError, match=r"evaluate\.pattern"):
        scorer_of(Evaluate(target="right", scorer="regex"))
