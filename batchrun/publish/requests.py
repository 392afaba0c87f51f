"""The requests of a run in the form in which they are published: what was sent, and how each ended.

The checkpoint does not keep what was sent. It is rendered again from the input, as `run` did. Where the input is gone
or has another row in that place now, the request is lost; running the job again matches input and answers.
"""

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
from batchrun.job.catalogue import cost_usd
from batchrun.prompts.source import Entry
from batchrun.publish.record import RunRecord, cut
from batchrun.records import Outcome, Request, Usage
from batchrun.results.prices import prices_in
from batchrun.results.run_directory import input_source

BATCH = 200
"""The most calls per batch."""

_BATCH_BYTES = 4 << 20
"""The approximate size of a batch. Weave's server accepts about 30 MiB."""

_TEXT_CHARS = 1_000_000
"""The longest text of a call that is published in full."""

_CLOCK = datetime(1970, 1, 1, tzinfo=UTC)

_Place = tuple[int, str, int, bytes]


class Call(NamedTuple):
    """One request and its outcome."""

    outcome: Outcome
    twin: int
    """Number among the calls that send the same and ended in the same millisecond: copies of one answer do."""
    sent: dict[str, Any] | None
    """The body; None where the input no longer has it."""
    reply: Any
    """The reply: JSON, or text that is not JSON; None when there was no reply."""
    cost_usd: float | None

    @property
    def is_lost(self) -> bool:
        """Whether a request was sent and the input no longer has it."""
        return self.sent is None and self.outcome.kind != "bad_row"

    @property
    def error(self) -> str | None:
        """Why it failed; None when it did not."""
        outcome = self.outcome
        return None if outcome.kind is None else f"{outcome.kind}: {outcome.error or 'unknown reason'}"

    @property
    def began(self) -> datetime:
        """When the last attempt was sent."""
        return self.ended - timedelta(seconds=self.outcome.latency_s or 0.0)

    @property
    def ended(self) -> datetime:
        """When the answer had arrived."""
        return _CLOCK + timedelta(milliseconds=self.outcome.finished_at_ms)


class Requests:
    """The requests of one run."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self.trouble: str | None = None
        """Why the input cannot be read to its end; None as long as it can."""

    def id_of(self, call: Call, place: str) -> str:
        """Return the id of a call at a place: unique, and the same each time it is published there.

        The row number is not part of it: a line added at the top of the input moves all rows and changes no call. It is
        a UUID of version 7, which begins with the time, like other ids in Weave.
        """
        at_ms = call.outcome.finished_at_ms
        source = orjson.dumps((self._record.identity, place, call.twin))
        digest = blake2b(source, key=_mark(call.outcome), digest_size=10).digest()
        number = (at_ms & (1 << 48) - 1) << 80 | int.from_bytes(digest, "big")
        number = number & ~(0xF << 76) | 7 << 76
        return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))

    def calls(self) -> Iterator[list[Call]]:
        """Yield the requests in the order of their rows, in lists of at most `BATCH` and of bounded size."""
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
        prices = prices_in(record.checkpoint, record.job)
        with closing(self._entries()) as entries:
            sent = _Sent(entries)
            for outcomes in record.checkpoint.outcomes():
                for each in outcomes:
                    twin = twins.number(each)  # counts unpublished ones too: a sample must not change ids
                    if each.row in chosen:
                        cost = cost_usd(_paid(each), prices(each.endpoint, each.answered_by or each.model))
                        yield Call(each, twin, sent.of(each), _reply(each), cost)

    def _entries(self) -> Generator[Entry, None, None]:
        """Yield the requests of the input in the order of its rows, as far as it can be read."""
        record = self._record
        try:
            with input_source(record.job, record.directory, record.checkpoint) as source:
                source.open()
                for batch in source.batches():
                    yield from batch
        except (InputError, JobError) as problem:
            self.trouble = str(problem)


class _Sent:
    """The bodies that were sent, found by reading the input in step with the outcomes."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._rows = groupby(entries, key=lambda entry: entry.row)
        self._row = -1
        self._bodies: dict[_Place, bytes] = {}

    def of(self, outcome: Outcome) -> dict[str, Any] | None:
        """Return the body of an outcome's request. Calls must come in the order of rows."""
        while self._row < outcome.row:
            self._row, entries = next(self._rows, (sys.maxsize, iter(())))
            self._bodies = {_place(each): each.body for each in entries if isinstance(each, Request)}
        body = self._bodies.get(_place(outcome))
        return None if body is None else cut(orjson.loads(body), _TEXT_CHARS)


class _Twins:
    """Numbers outcomes that are otherwise identical. On disk: there may be as many as rows."""

    def __init__(self) -> None:
        self._counts = sqlite3.connect("")
        self._counts.execute("CREATE TABLE counts (mark BLOB PRIMARY KEY, above INTEGER) WITHOUT ROWID")

    def number(self, outcome: Outcome) -> int:
        """Return how many identical outcomes came before."""
        mark = (_mark(outcome),)
        counted = "INSERT INTO counts VALUES (?, 0) ON CONFLICT (mark) DO UPDATE SET above = above + 1"
        self._counts.execute(counted, mark)
        return int(self._counts.execute("SELECT above FROM counts WHERE mark = ?", mark).fetchone()[0])


def _mark(outcome: Outcome) -> bytes:
    """Return a hash of the request, its model and sample, and the time of its end."""
    source = (outcome.key.hex(), outcome.model, outcome.sample, outcome.finished_at_ms)
    return blake2b(orjson.dumps(source), digest_size=16).digest()


def _place(each: Outcome | Request) -> _Place:
    return each.row, each.model, each.sample, each.key


def _paid(outcome: Outcome) -> Usage:
    """Return the tokens that were paid for an outcome: none where nothing was sent."""
    return outcome.usage if outcome.attempts else Usage()


def _reply(outcome: Outcome) -> Any:
    if outcome.body is None:
        return None
    try:
        return cut(orjson.loads(outcome.body), _TEXT_CHARS)
    except orjson.JSONDecodeError:
        return cut(outcome.body.decode("utf-8", "replace"), _TEXT_CHARS)
