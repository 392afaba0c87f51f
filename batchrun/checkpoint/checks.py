"""What a row of the checkpoint must look like: SQLite itself accepts any value in any column. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from batchrun.checkpoint.tables import KEY_BYTES, OUTCOME_COLUMNS

_INT32 = range(1 << 31)
_MS = range(1 << 53)

_TEXT = (str, type(None))

_TYPES = {
    "id": (int,),
    "key": (bytes,),
    "custom_id": _TEXT,
    "kind": _TEXT,
    "error": _TEXT,
    "latency_s": (float, int, type(None)),  # SQLite stores a whole number as an integer
    "body": (bytes, type(None)),
    "checksum": (int, type(None)),
    "reply": (int, type(None)),
}
"""All other columns are counts; most of them may be null."""

_COLUMN_TYPES = tuple(_TYPES.get(name, (int, type(None))) for name in OUTCOME_COLUMNS)
_TYPE_SETS = tuple(map(frozenset, _COLUMN_TYPES))
_COUNTS = tuple(place for place, name in enumerate(OUTCOME_COLUMNS) if name not in {*_TYPES, "finished_at_ms"})
_ARE_COUNTS = tuple(place in _COUNTS for place in range(len(OUTCOME_COLUMNS)))
_NEVER_NULL = tuple(map(OUTCOME_COLUMNS.index, ("attempts", "throttled")))
_ID, _KEY, _KIND, _FINISHED = map(OUTCOME_COLUMNS.index, ("id", "key", "kind", "finished_at_ms"))


def is_outcome(columns: Sequence[Any]) -> bool:
    """Return whether the number, the types and the ranges of these columns are those of an outcome."""
    if len(columns) != len(_COLUMN_TYPES):
        return False
    if not all(type(value) in types for value, types in zip(columns, _COLUMN_TYPES, strict=True)):
        return False
    return (
        columns[_ID] >= 0
        and len(columns[_KEY]) in (0, KEY_BYTES)
        and columns[_FINISHED] in _MS
        and all(columns[place] is None or columns[place] in _INT32 for place in _COUNTS)
        and all(columns[place] is not None for place in _NEVER_NULL)
    )


def are_outcomes(columns: Iterable[Sequence[Any]]) -> bool:
    """Return whether rows that SQLite has read are outcomes, given by column: so it takes few steps for many rows."""
    for values, types, is_count in zip(columns, _TYPE_SETS, _ARE_COUNTS, strict=False):
        if values.count(None) == len(values) and type(None) in types:  # quick, and so are several of the columns
            continue
        if not types.issuperset(map(type, values)):
            return False
        if is_count and not all(value is None or value in _INT32 for value in set(values)):
            return False
    return True


def is_answer(body: bytes | None) -> bool:
    """Return whether this can be the answer of a chat completion."""
    try:
        return isinstance(orjson.loads(body or b""), dict)
    except orjson.JSONDecodeError:
        return False
