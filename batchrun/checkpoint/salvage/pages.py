"""Reads the rows of one SQLite page without SQLite, whatever the state of all other pages. Pure.

Theory of operation. A table is a tree of pages. SQLite can read no further than the first page of it that is damaged;
yet each row is complete on its page, except for long ones, which continue in a chain of overflow pages. So every page
of the file is looked at: if it can be the leaf of a tree, each of its cells is decoded as a record and kept if it adds
up: a record states the length of each value, and all lengths together must be the length that the cell states. Damage
that leaves all lengths as they were is not noticed here.

Source: "Database File Format", sqlite.org/fileformat2.html, sections 1.6 and 2.1.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR = 0x0D, 0x0A, 0x02

_FILE_HEADER_BYTES = 100
"""Of the first page, before what every page has."""

_FIXED_BYTES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
"""Lengths of values by serial type; 10 and 11 are never written, from 12 on the type states the length."""


class Record(NamedTuple):
    """One row of a table or an index."""

    rowid: int | None
    """None in an index."""
    values: list[Any]


class _GarbledError(ValueError):
    """This is not a record."""


Fetch = Callable[[int], bytes | None]
"""Returns a page by its number, from 1; None where there is none."""


def records(number: int, page: bytes, fetch: Fetch, usable_bytes: int, longest_bytes: int) -> Iterator[Record]:
    """Yield the records of a page.

    Args:
        number: of the page, from 1.
        page: its bytes.
        fetch: returns the pages on which long records continue.
        usable_bytes: of a page, without what is reserved at its end.
        longest_bytes: no record is longer than this.
    """
    header = _FILE_HEADER_BYTES if number == 1 else 0
    kind = page[header]
    if kind not in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR):
        return
    (count,) = struct.unpack_from(">H", page, header + 3)
    first = header + (12 if kind == _INDEX_INTERIOR else 8)
    count = min(count, (usable_bytes - first) // 2)
    for at in struct.unpack_from(f">{count}H", page, first):
        if first <= at < usable_bytes:
            try:
                yield _cell(kind, page[:usable_bytes], at, fetch, longest_bytes)
            except (ValueError, IndexError, struct.error):
                continue  # no record, or no longer one


def _cell(kind: int, page: bytes, at: int, fetch: Fetch, longest_bytes: int) -> Record:
    if kind == _INDEX_INTERIOR:
        at += 4  # the number of the page to the left
    length, at = _varint(page, at)
    rowid = None
    if kind == _TABLE_LEAF:
        rowid, at = _varint(page, at)
        rowid -= (rowid >> 63) << 64
    if length > longest_bytes:
        raise _GarbledError
    local = _local_bytes(kind, length, len(page))
    start = page[at : at + local]
    if len(start) < local:
        raise _GarbledError
    types, values_at = _types(start, length)
    if local < length:
        (following,) = struct.unpack_from(">I", page, at + local)
        start += _overflow(following, length - local, fetch, len(page))
    return Record(rowid, _values(start, types, values_at))


def _local_bytes(kind: int, length: int, usable_bytes: int) -> int:
    """Return how many bytes of a record stand on its own page."""
    index_most = (usable_bytes - 12) * 64 // 255 - 23
    most = usable_bytes - 35 if kind == _TABLE_LEAF else index_most
    if length <= most:
        return length
    least = (usable_bytes - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable_bytes - 4)
    return local if local <= most else least


def _overflow(number: int, length: int, fetch: Fetch, usable_bytes: int) -> bytes:
    """Return what stands on a chain of overflow pages."""
    parts = []
    while length > 0:
        page = fetch(number)
        if page is None:
            raise _GarbledError
        (number,) = struct.unpack_from(">I", page)
        parts.append(page[4 : min(usable_bytes, 4 + length)])
        length -= usable_bytes - 4
    if number != 0:
        raise _GarbledError  # the chain continues, so it belongs to another record
    return b"".join(parts)


def _types(start: bytes, length: int) -> tuple[list[int], int]:
    """Return the types of a record's values, and where these begin, once all adds up."""
    header_bytes, at = _varint(start, 0)
    types = []
    total = header_bytes
    while at < header_bytes:
        type_, at = _varint(start, at)
        types.append(type_)
        total += _bytes_of(type_)
    if at != header_bytes or total != length:
        raise _GarbledError
    return types, at


def _bytes_of(type_: int) -> int:
    if type_ >= 12:
        return (type_ - 12) // 2
    if type_ >= len(_FIXED_BYTES):
        raise _GarbledError
    return _FIXED_BYTES[type_]


def _values(record: bytes, types: list[int], at: int) -> list[Any]:
    values: list[Any] = []
    for type_ in types:
        end = at + _bytes_of(type_)
        values.append(_value(type_, record[at:end]))
        at = end
    return values


def _value(type_: int, data: bytes) -> Any:
    if type_ >= 12:
        return data.decode() if type_ % 2 else data
    if type_ == 0:
        return None
    if type_ >= 8:
        return type_ - 8
    if type_ == 7:
        return struct.unpack(">d", data)[0]
    return int.from_bytes(data, "big", signed=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where it ends."""
    value = 0
    for position in range(at, at + 8):
        byte = data[position]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + 1
    return value << 8 | data[at + 8], at + 9
