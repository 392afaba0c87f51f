"""The columns of answers that are not texts: vectors, rankings, scores. The answers show which there are."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from batchrun.answers.equal_vectors import EqualVectors
from batchrun.answers.kinds.embeddings import FLOAT_BYTES, Vector, Vectors, floats_of, length_of
from batchrun.answers.kinds.rankings import Ranking
from batchrun.answers.kinds.scores import Scores
from batchrun.records import RequestKind

_FLOATS = pa.list_(pa.float32())

RANKING = pa.list_(pa.struct([("index", pa.int32()), ("relevance_score", pa.float64())]))

DOCS = {
    "embedding": (
        _FLOATS,
        "the vector of the text; its type is `fixed_size_list` where all vectors of the run have one length",
    ),
    "embeddings": (pa.list_(_FLOATS), "the vectors of a row that has several texts, in their order"),
    "ranking": (RANKING, "the documents by their place in the row, from 0, the most relevant first"),
    "scores": (pa.list_(pa.float64()), "how well the texts fit, a number for each pair"),
}
"""Column → its type, and a line for the reference. A run has those of its kinds."""

Types = Mapping[str, pa.DataType]

NO_TYPES: Types = MappingProxyType({})

_OF_KIND: Mapping[RequestKind, str] = {"embeddings": "embedding", "rerank": "ranking", "score": "scores"}


def types_without_answers(kind: RequestKind) -> Types:
    """Return the columns of a run of one kind in which nothing was answered; those of texts are not among them."""
    return {name: DOCS[name][0]} if (name := _OF_KIND.get(kind)) else NO_TYPES


class LateColumns(Exception):
    """An answer needs other columns than those before it: what was written so far must be written again."""

    def __init__(self, types: Types) -> None:
        super().__init__()
        self.types = types
        """The columns that all answers so far fit."""


def column_types(data: Iterable[Any] | EqualVectors, before: Types) -> Types:
    """Return the columns that some answers need, and those before them.

    Args:
        data: of each answer; None where it is a text.
        before: the columns of earlier answers.
    """
    types = dict(before)
    for name, length in _forms(data):
        kind = pa.list_(pa.float32(), length) if length else DOCS[name][0]
        known = types.setdefault(name, kind)
        if known != kind:
            types[name] = DOCS[name][0]  # vectors of several lengths
    return {name: types[name] for name in DOCS if name in types}


def _forms(data: Iterable[Any] | EqualVectors) -> set[tuple[str, int]]:
    if isinstance(data, EqualVectors):
        return {("embedding", data.length)}
    return {_form_of(each) for each in data if each is not None}


def data_arrays(data: Sequence[Any] | EqualVectors, types: Types) -> list[pa.Array]:
    """Return the columns of these types for the data of some answers; raises `LateColumns`."""
    needed = column_types(data, types)
    if needed != types:
        raise LateColumns(needed)
    return [_array(name, kind, data) for name, kind in types.items()]


def _form_of(data: Any) -> tuple[str, int]:
    """Return the column of some data, and the length of a vector that is alone."""
    if isinstance(data, Vectors):
        return ("embeddings", 0) if len(data.vectors) > 1 else ("embedding", length_of(data.vectors[0]))
    return ("ranking" if isinstance(data, Ranking) else "scores"), 0


def _array(name: str, kind: pa.DataType, data: Sequence[Any] | EqualVectors) -> pa.Array:
    """Return one column: null for answers that have another one, or none."""
    if isinstance(data, EqualVectors):
        return _equal(data).cast(kind) if name == "embedding" else pa.nulls(data.rows, kind)
    if pa.types.is_fixed_size_list(kind):
        return _fixed(kind, [each.vectors[0] if _is_one(each) else None for each in data])
    return pa.array([_value(name, each) for each in data], kind)


def _equal(vectors: EqualVectors) -> pa.Array:
    numbers = pa.Array.from_buffers(pa.float32(), vectors.rows * vectors.length, [None, pa.py_buffer(vectors.floats)])
    return pa.FixedSizeListArray.from_arrays(numbers, vectors.length)


def _is_one(data: Any) -> bool:
    return isinstance(data, Vectors) and len(data.vectors) == 1


def _fixed(kind: pa.DataType, vectors: Sequence[Vector | None]) -> pa.Array:
    """Return vectors of one length, decoded into one buffer: no Python object is made of each number."""
    size = kind.list_size * FLOAT_BYTES
    joined = bytearray(size * len(vectors))
    for place, each in enumerate(vectors):
        if each is not None:
            joined[place * size : (place + 1) * size] = floats_of(each)
    numbers = pa.Array.from_buffers(pa.float32(), len(joined) // FLOAT_BYTES, [None, pa.py_buffer(joined)])
    if None not in vectors:
        return pa.FixedSizeListArray.from_arrays(numbers, type=kind)
    mask = pa.array([each is None for each in vectors], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(numbers, type=kind, mask=mask)


def _value(name: str, data: Any) -> Any:
    if data is None or _form_of(data)[0] != name:
        return None
    if isinstance(data, Vectors):
        found = [memoryview(each).cast("f").tolist() for each in data.decoded]
        return found if name == "embeddings" else found[0]
    if isinstance(data, Ranking):
        return [{"index": place, "relevance_score": score} for place, score in data.entries]
    assert isinstance(data, Scores)
    return data.values
