"""Outcomes are joined with the input columns of their rows."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.records import Outcome
from batchrun.results import merge
from batchrun.results.merge import Merge, kept_types

Make = Callable[..., Outcome]


class Batches:
    """The columns of the input, as the prompts stage provides them."""

    def __init__(self, batches: list[pa.RecordBatch]) -> None:
        self._batches = batches
        self.read = 0

    @property
    def schema(self) -> pa.Schema:
        return self._batches[0].schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.read += 1
            yield batch


def numbered(*sizes: int) -> Batches:
    """Return batches of these sizes, with the number of the row as their only column."""
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    columns = [pa.array(range(start, start + size), pa.int64()) for start, size in zip(starts, sizes, strict=True)]
    return Batches([pa.record_batch({"n": column}) for column in columns])


def joined(inputs: Batches, *chunks: list[int]) -> list[tuple[int, Any]]:
    walk = Merge(inputs)
    return [
        (row, value)
        for rows in chunks
        for start, stop, (column,) in walk.parts(rows)
        for row, value in zip(rows[start:stop], column.to_pylist(), strict=True)
    ]


@given(
    st.lists(st.integers(0, 5), max_size=6),
    st.lists(st.integers(0, 30), max_size=40).map(sorted),
    st.lists(st.integers(0, 40), max_size=4).map(sorted),
)
def test_every_outcome_is_joined_with_its_row_for_all_batch_sizes(
    sizes: list[int], rows: list[int], cuts: list[int]
) -> None:
    """Also with gaps, several outcomes per row, empty batches, and rows after the end of the input."""
    bounds = [0, *(min(cut, len(rows)) for cut in cuts), len(rows)]
    chunks = [rows[a:b] for a, b in pairwise(bounds)]
    assert joined(numbered(*sizes, 0), *chunks) == [(row, row) for row in rows if row < sum(sizes)]


def test_the_input_is_read_only_up_to_the_last_outcome() -> None:
    """The export of an unfinished run does not read all of a large input."""
    inputs = numbered(10, 10, 10)
    assert joined(inputs, [3, 12]) == [(3, 3), (12, 12)]
    assert inputs.read == 2


def test_many_samples_of_a_large_row_are_copied_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The results repeat the input columns for each sample, but memory does not hold all copies at once."""
    monkeypatch.setattr(merge, "_PART_BYTES", 300)
    inputs = Batches([pa.record_batch({"text": ["x" * 90]})])
    parts = list(Merge(inputs).parts([0] * 10))
    assert [stop - start for start, stop, _ in parts] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    "type_",
    [
        pa.int8(),
        pa.bool_(),
        pa.float16(),
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.date32(),
        pa.timestamp("us", tz="Europe/Berlin"),
        pa.decimal128(20, 3),
        pa.list_(pa.struct([("a", pa.string())])),
        pa.map_(pa.string(), pa.int64()),
        pa.dictionary(pa.int32(), pa.string()),
        pa.null(),
    ],
    ids=str,
)
def test_the_types_of_the_input_are_kept(type_: pa.DataType) -> None:
    """The results have the same types as the user's file."""
    assert kept_types(pa.schema([("column", type_)])) == [type_]


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([{}, None, {}]), ["{}", None, "{}"]),
        (pa.array([[{}], [], None]), ["[{}]", "[]", None]),
    ],
    ids=["empty objects", "lists of them"],
)
def test_values_that_parquet_cannot_store_become_json(column: pa.Array, texts: list[str | None]) -> None:
    """An unusual column of the input never prevents the results."""
    assert joined(Batches([pa.record_batch({"x": column})]), [0, 1, 2]) == list(enumerate(texts))
