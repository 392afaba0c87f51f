"""The Arrow types of values from JSON: found, merged, and made such that Parquet can hold them; else they are text."""

import json
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.prompts.input.arrow import python_values

_MOST_FIELDS = 200
"""Widest object that becomes a struct; a wider one is a mapping whose keys are data, and becomes JSON text."""

_DEEPEST = 16
"""Deepest nesting that becomes Arrow; what lies deeper is a document, and becomes JSON text."""


LONG = pa.decimal256(19, 0)
"""Stands for int64 as long as types are found: some of the whole numbers have more digits than a fraction holds.

Parquet is not read as this type: its decimals of up to 38 digits are decimal128.
"""

MOST_EXACT = 2**53
"""Largest whole number up to which a 64-bit fraction holds every one. Source: IEEE 754."""


def type_of(values: list[Any]) -> pa.DataType | None:
    """Return the one type of values from JSON; None when they have several, or one that no column should have."""
    try:
        column = pa.array(values)
    except (pa.ArrowException, OverflowError):  # also whole numbers among fractions that cannot hold their digits
        return None
    if loses_times(column.type, values):
        return None
    return _with_long(column) if _is_tame(column.type, _DEEPEST) else None


def loses_times(kind: pa.DataType, values: Iterable[Any]) -> bool:
    """Return whether Arrow found dates where some values have a time of day too: it takes the first for all."""
    return bool(pa.types.is_date(kind)) and any(
        isinstance(value, datetime) and value == value  # NaT of pandas is not equal to itself
        for value in values
    )


def _with_long(column: pa.Array) -> pa.DataType:
    """Return the type of an array, with `LONG` for int64 where a number has more digits than a fraction holds."""
    kind = column.type
    if pa.types.is_int64(kind):
        try:
            column.cast(pa.float64())
        except pa.ArrowInvalid:
            return LONG
    if pa.types.is_struct(kind):
        inner = _inner(kind)
        return pa.struct([each.with_type(_with_long(column.field(index))) for index, each in enumerate(inner)])
    return pa.list_(kind.value_field.with_type(_with_long(column.values))) if pa.types.is_list(kind) else kind


def parquet_type(parquet: pq.ParquetFile, field: pa.Field) -> pa.DataType:
    """Return the type of a column of Parquet, with `LONG` for int64 unless the file's statistics rule it out."""
    kind: pa.DataType = field.type
    if not _is_tame(kind, _DEEPEST) or _all_long(kind) == kind:
        return kind
    metadata = parquet.metadata
    paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    leaves = [index for index, path in enumerate(paths) if path == field.name or path.startswith(f"{field.name}.")]
    for group in range(metadata.num_row_groups):
        for index in leaves:
            if not _is_short(metadata.row_group(group).column(index).statistics):
                return _all_long(kind)
    return kind


def _is_short(statistics: Any) -> bool:
    if statistics is None or not statistics.has_min_max:
        return False
    return all(isinstance(each, int) and abs(each) <= MOST_EXACT for each in (statistics.min, statistics.max))


def _all_long(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_all_long(each.type)) for each in _inner(kind)])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_all_long(kind.value_type)))
    return LONG if pa.types.is_int64(kind) else kind


def _loses_digits(kind: pa.DataType, into: pa.DataType) -> bool:
    """Return whether long whole numbers of a type become fractions in another."""
    if pa.types.is_struct(kind) and pa.types.is_struct(into):
        return any(_loses_digits(each.type, into.field(each.name).type) for each in _inner(kind))
    if pa.types.is_list(kind) and pa.types.is_list(into):
        return _loses_digits(kind.value_type, into.value_type)
    return bool(kind == LONG and pa.types.is_floating(into))


def _is_tame(kind: pa.DataType, depth: int) -> bool:
    inner = _inner(kind)
    return not inner or (
        depth > 0 and len(inner) <= _MOST_FIELDS and all(_is_tame(each.type, depth - 1) for each in inner)
    )


def _inner(kind: pa.DataType) -> list[pa.Field]:
    """Return what structs and lists are made of; of other types nothing."""
    if pa.types.is_struct(kind):
        return [kind.field(index) for index in range(kind.num_fields)]
    return [kind.value_field] if pa.types.is_list(kind) else []


def merged(one: pa.DataType | None, other: pa.DataType | None) -> pa.DataType | None:
    """Return the type that holds both; None when there is none."""
    if one is None or other is None or one == other:
        return one if other is not None else None
    if pa.uint64() in (one, other) and pa.null() not in (one, other):
        return None  # pyarrow would make int64 of it, which does not hold it
    try:
        schemas = [pa.schema([("", kind)]) for kind in (one, other)]
        kind = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None
    if _loses_digits(one, kind) or _loses_digits(other, kind):
        return None
    # Objects with keys of their own in each row are found here: each is small, together they are not.
    return kind if _is_tame(kind, _DEEPEST) or not _is_tame(one, _DEEPEST) else None


def storable(kind: pa.DataType) -> pa.DataType | None:
    """Return the type as Parquet can store it: null becomes string; None for what has an empty struct in it."""
    if kind == LONG:
        return pa.int64()
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        inner = [(each, storable(each.type)) for each in _inner(kind)]
        if not inner or any(its is None for _, its in inner):
            return None
        return pa.struct([each.with_type(its) for each, its in inner])
    if pa.types.is_list(kind):
        element = storable(kind.value_type)
        return None if element is None else pa.list_(kind.value_field.with_type(element))
    return kind


def array(values: list[Any], kind: pa.DataType | None = None) -> pa.Array:
    """Return values from JSON as an array of a type, or of the one that they have."""
    try:
        return pa.array(values, kind)
    except pa.ArrowInvalid:  # perhaps a whole number over 2**53 among fractions: the nearest fraction will do
        kind = kind or pa.infer_type(values)
        return pa.array([_with_fractions(value, kind) for value in values], kind)


def _with_fractions(value: Any, kind: pa.DataType) -> Any:
    """Return a value with its whole numbers made fractions where the type wants them, the nearest there is."""
    if isinstance(value, int) and pa.types.is_floating(kind):
        return float(value)
    if isinstance(value, list) and pa.types.is_list(kind):
        return [_with_fractions(each, kind.value_type) for each in value]
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {each.name: _with_fractions(value.get(each.name), each.type) for each in _inner(kind)}
    return value


def texts(values: Iterable[Any]) -> pa.Array:
    """Return a text column of values of any type: strings and dates as they stand, everything else as JSON."""
    return pa.array(
        [value if value is None or isinstance(value, str) else _text(value) for value in values], pa.string()
    )


def cast_to_texts(column: pa.Array) -> pa.Array:
    """Return a column of any type as text."""
    if not (pa.types.is_nested(column.type) or pa.types.is_binary(column.type)):
        try:
            return column.cast(pa.string())
        except pa.ArrowException:  # a time zone nobody knows, a type that is a program's own
            pass
    return texts(python_values(column))


def sound(column: pa.Array) -> pa.Array:
    """Return the column with null for texts that are not UTF-8: the results could not be read for them."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        indices = [index if _is_sound(column.slice(index, 1)) else None for index in range(len(column))]
        return column.take(pa.array(indices, pa.int64()))
    return column


def _is_sound(column: pa.Array) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _text(value: Any) -> str | None:
    """Return a date or a time as it stands, and JSON of others; None of what is nested deeper than anything writes."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # deeper than 254, or a whole number of more than 64 bits
        try:
            return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
        except (RecursionError, TypeError):
            return None
