"""The checksum of a stored outcome, by which a byte that has changed on the disk is noticed. Pure.

It covers what was asked (the key), and what came of it: status, failure and body, as they are stored. It does not cover
the place of a row, its label, its times and its counts: a row may be moved or copied by SQLite alone, which gives it
other ones. What an answer states of its tokens stands in the body too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

HALF = 1 << 31
"""Subtracted: SQLite stores an integer in four bytes from -2^31 on."""


def checksum(
    key: bytes, kind: str | None, error: str | None, http_status: int | None, body: bytes | memoryview | None
) -> int:
    """Return the checksum of an outcome, in [-2^31, 2^31); its texts are valid Unicode, and its body as stored."""
    start = http_status or 0
    if kind is not None:
        start = crc32(f"{kind}\0{error}".encode(), start)
    return crc32(body or b"", crc32(key, start)) - HALF


def completed_checksums(
    keys: Sequence[bytes], statuses: Sequence[int | None], bodies: Iterable[bytes | memoryview | None]
) -> list[int]:
    """Return what `checksum` returns for completed rows, without a call for each."""
    starts = map(crc32, keys, [status or 0 for status in statuses])
    return [each - HALF for each in map(crc32, [body or b"" for body in bodies], starts)]


def changed(columns: Mapping[str, Sequence[Any]], bodies: Sequence[bytes | memoryview | None]) -> list[int]:
    """Return the places of the outcomes whose content is not what it was when it was stored.

    Args:
        columns: of outcomes, as they are stored. Those without checksum, of an older version, are not looked at.
        bodies: of these, as they are stored: the vector of one that shares a reply, empty where that is lost.
    """
    keys, kinds, errors, statuses = (columns[name] for name in ("key", "kind", "error", "http_status"))
    found = completed_checksums(keys, statuses, bodies)
    if kinds.count(None) < len(kinds):
        for place, kind in enumerate(kinds):
            if kind is not None:
                found[place] = checksum(keys[place], kind, errors[place], statuses[place], bodies[place])
    stored = columns["checksum"]
    if found == list(stored):
        return []
    pairs = enumerate(zip(found, stored, keys, strict=True))
    return [place for place, (its, noted, key) in pairs if noted is not None and its != noted and key]
