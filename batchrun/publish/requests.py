"""The requests of a run as other systems are shown them: what was asked, and how each ended.

What was asked is made again from the input, as `run` made it. Where the input is gone, or has another row there now,
nobody knows it any more; running the job again fits input and answers to each other.
"""

import dataclasses
import sqlite3
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from batchrun.errors import InputError, JobError
from batchrun.job.catalogue import cost_usd, prices_of
from batchrun.prompts.source import Entry, Source
from batchrun.publish.record import RunRecord, cut
from batchrun.records import Outcome, Request, Usage
from batchrun.results.run_directory import input_paths

BATCH = 200
"""Calls that are held and sent at once, at most."""

_BATCH_BYTES = 4 << 20
"""Of calls that are held and sent at once, roughly. Weave's server takes about 30 MiB."""

_TEXT_CHARS = 1_000_000
"""Of a text in a call that is shown whole."""

_CLOCK = datetime(1970, 1, 1, tzinfo=UTC)

_Place = tuple[int, str, int, bytes]


class Call(NamedTuple):
    """One request, and how it ended."""

    outcome: Outcome
    twin: int
    """Number among those that ask the same, and ended in the same millisecond: copies of one answer do."""
    sent: dict[str, Any] | None
    """The body; None where the input does not say it."""
    reply: Any
    """What came back: JSON, or a text that is none; None when nothing came."""
    cost_usd: float | None

    @property
    def is_lost(self) -> bool:
        """Whether something was asked, and the input no longer says what."""
        return self.sent is None and self.outcome.kind != "bad_row"

    @property
    def error(self) -> str | None:
        """Why it failed; None when it did not."""
        outcome = self.outcome
        return None if outcome.kind is None else f"{outcome.kind}: {outcome.error or 'no reason is known'}"

    @property
    def began(self) -> datetime:
        """When the attempt that ended it was sent."""
        return self.ended - timedelta(seconds=self.outcome.latency_s or 0.0)

    @property
    def ended(self) -> datetime:
        """When the answer was there."""
        return _CLOCK + timedelta(milliseconds=self.outcome.finished_at_ms)


class Requests:
    """Those of one run."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self.trouble: str | None = None
        """Why the input cannot be read, or not to its end; None as long as it can."""

    def id_of(self, call: Call, place: str) -> str:
        """Return the id of a call at a place: the same each time it is published there, and no other's.

        Which row it is of is not in it: a line more at the top of the input moves all rows, and changes no call. It has
        the form of a UUID of version 7, which begins with the time, as the ids of others there do.
        """
        at_ms = call.outcome.finished_at_ms
        said = orjson.dumps((self._record.identity, place, call.twin))
        digest = blake2b(said, key=_mark(call.outcome), digest_size=10).digest()
        number = (at_ms & (1 << 48) - 1) << 80 | int.from_bytes(digest, "big")
        number = number & ~(0xF << 76) | 7 << 76
        return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))

    def calls(self) -> Iterator[list[Call]]:
        """Yield the requests, in the order of their rows, in lists of at most `BATCH`, and of bounded size."""
        batch: list[Call] = []
        size_bytes = 0
        for call in self._each():
            batch.append(call)
            size_bytes += len(orjson.dumps((call.sent, call.reply)))
            if len(batch) == BATCH or size_bytes >= _BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
        if batch:
            yield batch

    def _each(self) -> Iterator[Call]:
        record, twins = self._record, _Twins()
        chosen = record.chosen()
        prices = prices_of(record.job, record.checkpoint.totals())
        with closing(self._entries()) as entries:
            sent = _Sent(entries)
            for outcomes in record.checkpoint.outcomes():
                for each in outcomes:
                    twin = twins.number(each)  # also of what is not shown: a sample changes nobody's id
                    if each.row in chosen:
                        cost = cost_usd(_paid(each), prices.get(each.model))
                        yield Call(each, twin, sent.of(each), _reply(each), cost)

    def _entries(self) -> Generator[Entry, None, None]:
        """Yield what the input asks, in the order of its rows, as far as it can be read."""
        job, record = self._record.job, self._record
        paths = input_paths(job, record.directory, record.checkpoint)
        read = dataclasses.replace(job.input, path=paths, strict=False, order="input")
        try:
            with Source(dataclasses.replace(job, input=read)) as source:
                source.open()
                for batch in source.batches():
                    yield from batch
        except (InputError, JobError) as problem:
            self.trouble = str(problem)


class _Sent:
    """What was sent, found again by walking the input forward beside the outcomes."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._rows = groupby(entries, key=lambda entry: entry.row)
        self._row = -1
        self._bodies: dict[_Place, bytes] = {}

    def of(self, outcome: Outcome) -> dict[str, Any] | None:
        """Return the body that an outcome answers. Rows may only grow from call to call."""
        while self._row < outcome.row:
            self._row, entries = next(self._rows, (sys.maxsize, iter(())))
            self._bodies = {_place(each): each.body for each in entries if isinstance(each, Request)}
        body = self._bodies.get(_place(outcome))
        return None if body is None else cut(orjson.loads(body), _TEXT_CHARS)


class _Twins:
    """Numbers outcomes that nothing tells apart; on disk, since there may be as many as there are rows."""

    def __init__(self) -> None:
        self._counts = sqlite3.connect("")
        self._counts.execute("CREATE TABLE counts (mark BLOB PRIMARY KEY, above INTEGER) WITHOUT ROWID")

    def number(self, outcome: Outcome) -> int:
        """Return how many like this one came before."""
        mark = (_mark(outcome),)
        counted = "INSERT INTO counts VALUES (?, 0) ON CONFLICT (mark) DO UPDATE SET above = above + 1"
        self._counts.execute(counted, mark)
        return int(self._counts.execute("SELECT above FROM counts WHERE mark = ?", mark).fetchone()[0])


def _mark(outcome: Outcome) -> bytes:
    """Return a hash of what was asked, of whom, and when that ended."""
    said = (outcome.key.hex(), outcome.model, outcome.sample, outcome.finished_at_ms)
    return blake2b(orjson.dumps(said), digest_size=16).digest()


def _place(each: Outcome | Request) -> _Place:
    return each.row, each.model, each.sample, each.key


def _paid(outcome: Outcome) -> Usage:
    """Return the tokens that an outcome cost: none where nothing was sent for it."""
    return outcome.usage if outcome.attempts else Usage()


def _reply(outcome: Outcome) -> Any:
    if outcome.body is None:
        return None
    try:
        return cut(orjson.loads(outcome.body), _TEXT_CHARS)
    except orjson.JSONDecodeError:
        return cut(outcome.body.decode("utf-8", "replace"), _TEXT_CHARS)
