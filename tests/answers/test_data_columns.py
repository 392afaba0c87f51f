"""Columns of answers that are not texts."""

import struct
from typing import Any

import pyarrow as pa
import pytest

from batchrun.answers.data_columns import DOCS, LateColumns, Types, column_types, data_arrays
from batchrun.answers.equal_vectors import EqualVectors
from batchrun.answers.kinds.embeddings import Vectors
from batchrun.answers.kinds.rankings import Ranking
from batchrun.answers.kinds.scores import Scores


def vector(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


ONE, OTHER, SHORT = Vectors((vector(1, 2),)), Vectors((vector(3, 4),)), Vectors((vector(5),))
SEVERAL = Vectors((vector(1), vector(2, 3)))


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ([ONE, None, OTHER], {"embedding": [[1, 2], None, [3, 4]]}),
        ([ONE, SHORT], {"embedding": [[1, 2], [5]]}),
        ([ONE, SEVERAL], {"embedding": [[1, 2], None], "embeddings": [None, [[1], [2, 3]]]}),
        ([Ranking([(1, 0.5)]), None], {"ranking": [[{"index": 1, "relevance_score": 0.5}], None]}),
        ([Scores([0.5]), ONE], {"embedding": [None, [1, 2]], "scores": [[0.5], None]}),
        ([None], {}),
    ],
)
def test_every_answer_has_its_value_in_its_column(data: list[Any], values: dict[str, Any]) -> None:
    types = column_types(data, {})
    arrays = data_arrays(data, types)
    assert {name: array.to_pylist() for name, array in zip(types, arrays, strict=True)} == values
    assert [array.type for array in arrays] == list(types.values())
    assert types.keys() <= DOCS.keys()


def test_the_column_has_one_length_only_if_all_vectors_have_it() -> None:
    assert column_types([ONE, OTHER], {}) == {"embedding": pa.list_(pa.float32(), 2)}
    assert column_types([SHORT], column_types([ONE], {})) == {"embedding": pa.list_(pa.float32())}


@pytest.mark.parametrize("late", [SHORT, SEVERAL, Scores([1.0])])
def test_an_answer_that_fits_no_column_says_which_would(late: Any) -> None:
    """Reading again with these columns, nothing is late any more."""
    before = column_types([ONE], {})
    with pytest.raises(LateColumns) as found:
        data_arrays([OTHER, late], before)
    assert found.value.types != before
    data_arrays([ONE, OTHER, late], found.value.types)


@pytest.mark.parametrize(
    "before",
    [{}, {"embedding": DOCS["embedding"][0]}, {"embeddings": DOCS["embeddings"][0]}],
    ids=["none", "of several lengths", "others"],
)
def test_vectors_that_were_read_at_once_make_the_same_columns(before: Types) -> None:
    at_once = EqualVectors(2, 2, vector(1, 2, 3, 4))
    types = column_types(at_once, before)
    assert types == column_types([ONE, OTHER], before)
    assert data_arrays(at_once, types) == data_arrays([ONE, OTHER], types)
