"""The checksum of a stored outcome, by which a byte that has changed on the disk is noticed. Pure.

It covers what was asked (the key), and what came of it: status, failure and body, as they are stored. It does not cover
the place of a row, its label, its times and its counts: a row may be moved or copied by SQLite alone, which gives it
other ones. What an answer states of its tokens stands in the body too.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

_HALF = 1 << 31
"""Subtracted: SQLite stores an integer in four bytes from -2^31 on."""


def checksum(key: bytes, kind: str | None, error: str | None, http_status: int | None, body: bytes | None) -> int:
    """Return the checksum of an outcome, in [-2^31, 2^31); its texts are valid Unicode, and its body as stored."""
    start = http_status or 0
    if kind is not None:
        start = crc32(f"{kind}\0{error}".encode(), start)
    return crc32(body or b"", crc32(key, start)) - _HALF


def changed(columns: dict[str, Sequence[Any]]) -> list[int]:
    """Return the places of the outcomes whose content is not what it was when it was stored.

    Args:
        columns: of outcomes, as they are stored. Those without checksum, of an older version, are not looked at.
    """
    parts = (columns[name] for name in ("key", "kind", "error", "http_status", "body"))
    found = list(map(checksum, *parts))
    stored = columns["checksum"]
    if found == list(stored):
        return []
    pairs = enumerate(zip(found, stored, columns["key"], strict=True))
    return [place for place, (its, noted, key) in pairs if noted is not None and its != noted and key]
