"""Which table of the checkpoint a record of a damaged file belongs to: no two tables have the same shape. Pure."""

from typing import Any, Literal

from batchrun.checkpoint.tables import COUNTS, MODELS, OUTCOME_COLUMNS

Table = Literal[
    "facts",
    "models",
    "model names",
    "outcomes",
    "totals",
    "limits",
    "executions",
    "pauses",
    "execution_totals",
    "sources",
    "origins",
    "endpoint_limits",
    "endpoint_pauses",
    "dictionaries",
    "batches",
    "batch_lines",
    "batch_answers",
    "replies",
    "row_checksums",
]
"""`model names`: the index of `models`, which has name and number."""

_NULL = type(None)

_SHAPES: dict[Table, tuple[tuple[type, ...], ...]] = {
    "models": ((_NULL,), (str,)),
    "totals": ((_NULL,), *((int,),) * len(COUNTS)),
    "limits": ((int,), (int,), (str,)),
    "executions": ((_NULL,), (int,), (int, _NULL), (str, _NULL), (str, _NULL), (int, _NULL)),
    "pauses": ((int,), (str,), (str,), (int,), (int, _NULL), (str,)),
    "execution_totals": ((_NULL,), (str,), (str,), (str,), (str, _NULL), (str, _NULL)),
    "sources": ((_NULL,), (int,), *((str,),) * 3, *((int,),) * len(COUNTS), (str,)),
    "origins": ((_NULL,), (int,)),
    "endpoint_limits": ((str,), (int,), (int,), (str,)),
    "endpoint_pauses": ((int,), (str,), (str,), (str,), (int,), (int, _NULL), (str,)),
    "dictionaries": ((_NULL,), (str,), (int,), (bytes,), (int,)),
    "batches": (
        *((_NULL,), (str,), (str,), (str,), (int,), (int, float), (int, float), (int,)),
        *((str, _NULL), (str, _NULL), (str, _NULL), (int,), (int,), (int, _NULL), (int, _NULL), (str, _NULL)),
    ),
    "batch_lines": ((int,), (int,), (int, _NULL), (bytes,), (str, _NULL), *((int,),) * 4, (bytes, _NULL)),
    "batch_answers": ((_NULL,), (bytes,), (int,), (bytes,), (bytes,)),
    "replies": ((_NULL,), (bytes,), (int,), (int,), (bytes,)),
}
"""Types of the columns; a column that is the table's integer key is null in the record, and stands in its rowid."""

_CHECKSUM = ((str,), (int, str), (int,))
"""The same of the checksums of rows. They have no rowid, and are an index."""

OUTCOME_WIDTHS = (*(OUTCOME_COLUMNS.index(last) + 1 for last in ("body", "dictionary")), len(OUTCOME_COLUMNS))
"""How many columns an outcome has: fewer where version 4 or an older one stored it, or version 5."""


def table_of(rowid: int | None, values: list[Any]) -> Table | None:
    """Return the table; None where it can be none of them. Whether an outcome is sound is not looked at.

    Args:
        rowid: of the record; None in an index.
        values: of its columns.
    """
    if rowid is None:
        return _index_of(values)
    table = next((name for name, shape in _SHAPES.items() if _fits(values, shape)), None)
    if table is None and len(values) in OUTCOME_WIDTHS:
        return "outcomes"
    if table in ("models", "totals") and rowid not in range(MODELS):
        return None
    if table == "totals" and min(values[1:]) < 0:
        return None
    return table


def _index_of(values: list[Any]) -> Table | None:
    if _fits(values, _CHECKSUM):
        return "row_checksums"
    if len(values) != 2 or type(values[0]) is not str:
        return None
    if type(values[1]) is str:
        return "facts"
    return "model names" if type(values[1]) is int and values[1] in range(MODELS) else None


def _fits(values: list[Any], shape: tuple[tuple[type, ...], ...]) -> bool:
    return len(values) == len(shape) and all(type(value) in types for value, types in zip(values, shape, strict=True))
