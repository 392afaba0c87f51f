"""Replies that several rows share: stored once, before the rows in the same transaction.

Theory of operation. A row of embeddings that travelled in a bundle has no body of its own: `outcomes.reply` says which
reply has its vector, and at which place. The reply is stored by its parts: a frame, which is short and has a checksum
of its own, and the vectors one after the other. The checksum of a row covers its own vector alone, so that a byte that
changes on the disk costs the row that it belongs to, and no other. A reply is never deleted while a run goes on: rows
that are retired or copied refer to it too.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any
from zlib import crc32

from batchrun.answers.shared_vectors import SharedBodies, is_whole
from batchrun.checkpoint.checksums import HALF, completed_checksums
from batchrun.checkpoint.tables import insert_many, pack
from batchrun.records import Outcome, SharedReply, Usage

PLACES = 1 << 16
"""How many places a reference to a reply can tell apart."""

_COLUMNS = (
    *("id", "key", "custom_id", "http_status", "attempts", "throttled", "latency_s", "finished_at_ms"),
    *Usage._fields,
    *("checksum", "reply"),
)
_ROWS = f"outcomes ({', '.join(_COLUMNS)})"
"""The columns of a row that shares a reply; all others are null."""

_INSERT = "INSERT INTO replies VALUES (?, ?, ?, ?, ?)"
_LAST = "SELECT coalesce(max(id), 0) FROM replies"
_READ = "SELECT frame, size, checksum, vectors FROM replies WHERE id = ?"

_REPLY = Outcome._fields.index("reply")

_KEPT = 32
"""Replies that are held in memory while rows are read: more than there are bundles in between."""


def frame_checksum(frame: bytes, size: int) -> int:
    """Return the checksum of a reply without its vectors, in [-2^31, 2^31)."""
    return crc32(frame, size) - HALF


class ReplyWriter:
    """Stores the replies that outcomes share, and the rows of these outcomes."""

    def __init__(self) -> None:
        self._next: int | None = None  # not known
        self._numbers: dict[int, tuple[SharedReply, int]] = {}  # by identity: of the last transaction

    def forget(self) -> None:
        """Look again which replies the checkpoint has: it was opened, or a transaction was rolled back."""
        self._next, self._numbers = None, {}

    def insert(self, connection: sqlite3.Connection, outcomes: Sequence[Outcome], models: Mapping[str, int]) -> None:
        """Write outcomes that share replies, in the open transaction; `models` has the number of each model.

        The rows of one reply may come in two transactions. Where one is rolled back, `forget` follows.
        """
        if self._next is None:
            (last,) = connection.execute(_LAST).fetchone()
            self._next = int(last) + 1
        before, self._numbers = self._numbers, {}
        rows: list[tuple[Any, ...]] = []
        for reply, sharing in _together(outcomes):
            known = self._numbers.get(id(reply)) or before.get(id(reply))
            if known is None:
                known = reply, self._next
                checksum = frame_checksum(reply.frame, reply.size)
                connection.execute(_INSERT, (self._next, reply.frame, reply.size, checksum, reply.vectors))
                self._next += 1
            self._numbers[id(reply)] = known
            rows += _rows_of(reply, known[1], sharing, models)
        insert_many(connection, _ROWS, rows)


def _together(outcomes: Sequence[Outcome]) -> Iterator[tuple[SharedReply, list[Outcome]]]:
    """Yield each reply with those of its outcomes that follow one another."""
    for _, some in groupby(outcomes, lambda outcome: id(outcome[_REPLY])):
        sharing = list(some)
        reply = sharing[0].reply
        assert reply is not None
        yield reply, sharing


def _rows_of(
    reply: SharedReply, number: int, outcomes: Sequence[Outcome], models: Mapping[str, int]
) -> Iterator[tuple[Any, ...]]:
    columns = zip(*outcomes, strict=True)
    rows, names, samples, keys, labels, _, _, statuses, attempts, latencies, times, _, usages, *rest = columns
    throttled, _, _, _, places = rest
    ids = map(pack, rows, map(models.__getitem__, names), samples)
    sums = completed_checksums(keys, statuses, [vector_at(reply, place) for place in places])
    stored = [number * PLACES + place for place in places]
    counts = zip(*usages, strict=True)
    return zip(ids, keys, labels, statuses, attempts, throttled, latencies, times, *counts, sums, stored, strict=True)


def vector_at(reply: SharedReply, place: int) -> memoryview:
    """Return the vector at a place of a reply; a shorter one where there is none."""
    return memoryview(reply.vectors)[place * reply.size : (place + 1) * reply.size]


class SharingRows:
    """Rows of which some share replies."""

    def __init__(self, replies: Sequence[SharedReply | None], references: Sequence[int | None]) -> None:
        """Begin.

        Args:
            replies: by row; None for a row that has its own body, or whose reply is lost.
            references: by row, as stored.
        """
        self._replies, self._references = replies, references
        self._places = [0 if each is None else each % PLACES for each in references]

    @property
    def are_found(self) -> bool:
        """Whether the vectors of all of them are there."""
        return all(
            reference is None or (reply is not None and (place + 1) * reply.size <= len(reply.vectors))
            for reference, reply, place in zip(self._references, self._replies, self._places, strict=True)
        )

    def stored(self, own: Sequence[bytes | None]) -> list[bytes | memoryview | None]:
        """Return what the checksum of each row covers; `own` has the bodies that are not shared, as stored."""
        return [
            body if reference is None else b"" if reply is None else vector_at(reply, place)
            for body, reference, reply, place in zip(own, self._references, self._replies, self._places, strict=True)
        ]

    def bodies(self, own: Sequence[bytes | None], usages: Mapping[str, Sequence[Any]]) -> Sequence[bytes | None]:
        """Return the answer to each row.

        Args:
            own: the answers that are not shared.
            usages: the token counts of each row, by the fields of `Usage`.

        Raises:
            ValueError: a reply is lost.
        """
        if not self.are_found:
            raise ValueError("the reply that rows share is lost")
        if None not in self._references:
            return self._shared(range(len(self._references)), usages)
        places = [place for place, reference in enumerate(self._references) if reference is not None]
        shared = self._shared(places, usages)
        bodies = list(own)
        for place, body in zip(places, shared, strict=True):
            bodies[place] = body
        return bodies

    def _shared(self, rows: Sequence[int], usages: Mapping[str, Sequence[Any]]) -> SharedBodies:
        replies = [reply for row in rows if (reply := self._replies[row]) is not None]
        counts = {name: [usages[name][row] for row in rows] for name in Usage._fields}
        return SharedBodies(replies, [self._places[row] for row in rows], counts)


def stored(own: Sequence[bytes | None], shared: SharingRows | None) -> Sequence[bytes | memoryview | None]:
    """Return what the checksum of each row covers; `own` has the bodies that are not shared, as stored."""
    return own if shared is None else shared.stored(own)


class ReplyReader:
    """Finds replies by their number."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._kept: OrderedDict[int, SharedReply | None] = OrderedDict()

    def get(self, number: int) -> SharedReply | None:
        """Return a reply; None where it is lost, or its frame is not what was stored."""
        if number in self._kept:
            return self._kept[number]
        found = sound_reply(self._connection.execute(_READ, (number,)).fetchone() or ())
        self._kept[number] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def vector_bytes(self, number: int) -> int:
        """Return the bytes of each vector of a reply; 0 where it is lost."""
        reply = self.get(number)
        return 0 if reply is None else reply.size

    def sharing(self, references: Sequence[int | None]) -> SharingRows | None:
        """Return the rows that have these values of `outcomes.reply`; None where none of them shares a reply."""
        if references.count(None) == len(references):
            return None
        numbers = [None if each is None else each // PLACES for each in references]
        found = {number: self.get(number) for number in dict.fromkeys(numbers) if number is not None}
        return SharingRows([None if number is None else found[number] for number in numbers], references)


def sound_reply(columns: Sequence[Any]) -> SharedReply | None:
    """Return a reply that was stored as these columns of `replies`; None where it is not what was stored."""
    if list(map(type, columns)) != [bytes, int, int, bytes]:
        return None
    frame, size, checksum, vectors = columns
    reply = SharedReply(frame, size, vectors)
    is_same = 0 < size < 1 << 32 and frame_checksum(frame, size) == checksum
    return reply if is_same and is_whole(reply) else None
