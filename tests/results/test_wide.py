"""Results with one row per prompt."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pyarrow as pa
from harness.checkpoints import columns_of
from harness.priced import priced
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.schema import AnswerSchema
from batchrun.records import Outcome
from batchrun.results.answers import AnswerReader
from batchrun.results.table import Results
from batchrun.results.wide import Wide

from .conftest import OUTCOME

Make = Callable[..., Outcome]

PAIRS = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def turned(batches: list[pa.RecordBatch], asked: list[tuple[str, int]] = PAIRS) -> list[dict[str, Any]]:
    wide = Wide(batches[0].schema, asked)
    made = list(wide.batches(batches))
    assert all(batch.schema == wide.schema for batch in made)
    return [row for batch in made for row in batch.to_pylist()]


def settled(row: int, model: str, sample: int) -> Outcome:
    body = orjson.dumps({"choices": [{"message": {"content": f"{row}{model}{sample}"}}]})
    return OUTCOME._replace(row=row, model=model, sample=sample, body=body)


@given(
    st.sets(st.tuples(st.integers(0, 8), st.sampled_from(["a", "b"]), st.integers(0, 1)), min_size=1).map(sorted),
    st.lists(st.integers(0, 36), max_size=6).map(sorted),
)
def test_every_answer_is_in_the_row_of_its_prompt_for_all_batch_sizes(
    places: list[tuple[int, str, int]], cuts: list[int]
) -> None:
    """Missing answers are null; prompts without settled requests are absent; the order is that of the input."""
    batch = next(Results([columns_of([settled(*place) for place in places])], None, priced()).batches())
    bounds = [0, *(min(cut, len(places)) for cut in cuts), len(places)]
    batches = [batch[a:b] for a, b in pairwise(bounds) if b > a]
    there = set(places)
    assert turned(batches) == [
        {"row": row, "custom_id": str(row)}
        | {
            f"{model}/{sample}/response": f"{row}{model}{sample}" if (row, model, sample) in there else None
            for model, sample in PAIRS
        }
        for row in sorted({row for row, _, _ in places})
    ]


def test_names_never_clash(outcome: Make) -> None:
    """Models and properties may have any names."""
    kinds = {name: {"type": "integer"} for name in ("0/x", "x")}
    reader = AnswerReader(AnswerSchema({"type": "object", "properties": kinds}))
    body = orjson.dumps({"choices": [{"message": {"content": '{"0/x": 1, "x": 2}'}}]})
    asked = [("m", 0), ("m/0", 0)]
    outcomes = [outcome(model=model, sample=sample, body=body) for model, sample in asked]
    (row,) = turned(list(Results([columns_of(outcomes)], None, priced(), reader=reader).batches()), asked)
    assert [name for name in row if name.endswith("x")] == ["m/0/0/x", "m/0/x", "m/0/0/0/x", "response_m/0/0/x"]
    assert [row[name] for name in row if name.endswith("x")] == [1, 2, 1, 2]


def test_columns_without_values_are_left_out(outcome: Make) -> None:
    """Rows without a model have a row without answers."""
    batches = list(Results([columns_of([outcome(model="", kind="bad_row", body=None)])], None, priced()).batches())
    assert turned(batches, [("m", 0)]) == [{"row": 0, "custom_id": "0", "m/0/response": None}]
