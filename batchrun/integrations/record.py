"""A run as other systems are shown it: its requests with what was sent and what came back, its dataset, its results.

Everything is read from the run directory, a batch at a time, and nothing there is changed. What was sent is made again
from the input, as `run` made it; where the input is gone, or has another row there now, the request is shown without.
"""

import dataclasses
import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError, JobError
from batchrun.pricing import cost_usd
from batchrun.prompts.source import Entry, Source
from batchrun.records import Outcome, Request, Usage
from batchrun.results.columns import AFTER_INPUT, BEFORE_INPUT
from batchrun.standing import standing
from batchrun.stored import SPOOL, stored_job
from batchrun.summary import RESULTS, prices_of
from batchrun.values import python_dicts

BATCH = 200
"""Calls that are held and sent at once, at most."""

_TEXT_CHARS = 1_000_000
"""Of a text in a call that is shown whole."""

_CELL_CHARS = 100_000
"""Of a text in a row that is shown whole."""

_DATA_CHARS = 100
"""Of a data URL, such as an image's, that is shown: enough to see what it is of."""

_TO_SPREAD = 0x9E3779B97F4A7C15
"""2⁶⁴ over the golden ratio: its multiples, modulo 2⁶⁴, lie evenly. Source: Knuth, TAOCP 3, 6.4."""

_CLOCK = datetime(1970, 1, 1, tzinfo=UTC)

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,")


class Call(NamedTuple):
    """One request, and how it ended."""

    outcome: Outcome
    sent: dict[str, Any] | None
    """The body; None where the input no longer says it."""
    reply: Any
    """What came back: JSON, or a text that is none; None when nothing came."""
    cost_usd: float | None

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


class RunRecord:
    """A run that is being published, open for reading."""

    def __init__(self, directory: Path, sample: int | None = None) -> None:
        """Name the run; reads nothing yet.

        Args:
            directory: of the run.
            sample: how many input rows to show, with all their answers; all unless given.
        """
        self.directory = directory
        self._sample = sample
        self.notices: list[str] = []
        """What people should know of what is shown."""

    def __enter__(self) -> Self:
        self.summary = standing(self.directory)
        self._checkpoint = Checkpoint(self.directory).__enter__()
        self.job = stored_job(self._checkpoint)
        self.identity: str = self._checkpoint.fact("identity") or ""
        """Tells this run from every other, also from its like in another directory."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._checkpoint.__exit__(kind, error, trace)

    @property
    def name(self) -> str:
        """Of the run, for people: that of its directory."""
        return self.directory.resolve().name

    @property
    def is_whole(self) -> bool:
        """Whether every row is settled."""
        return self.summary.state == "completed"

    def call_id(self, outcome: Outcome, place: str) -> str:
        """Return the id of a call at a place: the same each time it is published there, and no other's.

        It has the form of a UUID of version 7, which begins with the time, as the ids of others there do.
        """
        said = (self.identity, place, outcome.row, outcome.model, outcome.sample, outcome.key.hex())
        digest = blake2b(orjson.dumps([*said, outcome.finished_at_ms]), digest_size=10).digest()
        number = (outcome.finished_at_ms & (1 << 48) - 1) << 80 | int.from_bytes(digest, "big")
        number = number & ~(0xF << 76) | 7 << 76
        return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))

    # The requests.

    def calls(self) -> Iterator[list[Call]]:
        """Yield the requests, in the order of their rows, in lists of at most `BATCH`."""
        chosen = self._chosen()
        sent = _Sent(self._entries())
        prices = prices_of(self.job, self._checkpoint.totals())
        outcomes = (each for some in self._checkpoint.outcomes() for each in some if each.row in chosen)
        try:
            while batch := list(islice(outcomes, BATCH)):
                bodies = sent.between(batch[0].row, batch[-1].row, chosen)
                yield [
                    Call(each, bodies.get(_place(each)), _reply(each), cost_usd(_paid(each), prices.get(each.model)))
                    for each in batch
                ]
        finally:
            sent.close()

    def _entries(self) -> Iterator[Entry]:
        """Yield what the input asks, in the order of its rows; nothing, and a notice, where it cannot be read."""
        paths = tuple(str(self.directory / SPOOL) if path == "-" else path for path in self.job.input.path)
        read = dataclasses.replace(self.job.input, path=paths, strict=False, order="input")
        try:
            with Source(dataclasses.replace(self.job, input=read)) as source:
                source.open()
                for batch in source.batches():
                    yield from batch
        except (InputError, JobError) as problem:
            self.notices.append(f"requests are shown without what was sent, from where the input ends: {problem}")

    def _chosen(self, most: int | None = None) -> "set[int] | _All":
        """Return the rows that are shown: of fewer than all, those that lie evenly, and always the same."""
        count = min((each for each in (self._sample, most) if each is not None), default=None)
        if count is None:
            return _All()
        rows = chain.from_iterable(batch.column("row").to_pylist() for batch in self._results(["row"]))
        each_once = (row for row, before in _with_last(rows) if row != before)
        return set(heapq.nsmallest(count, each_once, key=lambda row: row * _TO_SPREAD % 2**64))

    # The results.

    def rows(self, most: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of results.parquet, as JSON can hold them; of more input rows than `most`, a sample."""
        chosen = self._chosen(most)
        for batch in self._results(None):
            for row in python_dicts(batch):
                if row["row"] in chosen:
                    yield _plain(row)

    def fingerprint(self) -> str:
        """Return a hash of which rows are settled, when and how well, and of how many are shown."""
        digest = blake2b(orjson.dumps([self.identity, self._sample]), digest_size=16)
        names = ["row", "model", "sample", "status", "finished_at", *(["score"] if self.summary.scores else [])]
        for batch in self._results(names):
            digest.update(orjson.dumps([column.to_pylist() for column in batch.columns]))
        return digest.hexdigest()

    def input_columns(self) -> list[str]:
        """Return the columns of the results that are the input's, and which row it is."""
        names: list[str] = pq.read_schema(self.directory / RESULTS).names
        return names[: names.index(AFTER_INPUT[0].name)]

    def answer_columns(self) -> list[str]:
        """Return the columns of the results that say how a row ended, and which row it is."""
        names: list[str] = pq.read_schema(self.directory / RESULTS).names
        return [column.name for column in BEFORE_INPUT] + names[names.index(AFTER_INPUT[0].name) :]

    def _results(self, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.directory / RESULTS) as file:
            yield from file.iter_batches(BATCH * 10, columns=columns)


class _All:
    """Has every row."""

    def __contains__(self, row: object) -> bool:
        return True


class _Sent:
    """What was sent, found again by walking the input forward beside the outcomes."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self._ahead: Entry | None = None
        self._found: dict[tuple[int, str, int, bytes], dict[str, Any]] = {}

    def between(
        self, first: int, last: int, wanted: "set[int] | _All"
    ) -> dict[tuple[int, str, int, bytes], dict[str, Any]]:
        """Return the bodies of the rows from first to last that are wanted. Rows may only grow from call to call."""
        self._found = {place: body for place, body in self._found.items() if place[0] >= first}
        while (entry := self._ahead or next(self._entries, None)) is not None:
            self._ahead = entry
            if entry.row > last:
                break
            self._ahead = None
            if isinstance(entry, Request) and entry.row >= first and entry.row in wanted:
                self._found[_place(entry)] = _cut(orjson.loads(entry.body))
        return self._found

    def close(self) -> None:
        if hasattr(self._entries, "close"):
            self._entries.close()


def _place(each: Outcome | Request) -> tuple[int, str, int, bytes]:
    return each.row, each.model, each.sample, each.key


def _paid(outcome: Outcome) -> Usage:
    """Return the tokens that an outcome cost: none where nothing was sent for it."""
    return outcome.usage if outcome.attempts else Usage()


def _reply(outcome: Outcome) -> Any:
    if outcome.body is None:
        return None
    try:
        return _cut(orjson.loads(outcome.body))
    except orjson.JSONDecodeError:
        return _cut(outcome.body.decode("utf-8", "replace"))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON can hold it: bytes as their number, times as text, what is long cut short."""
    cells = {name: each if abs(each) < 2**63 else str(each) for name, each in row.items() if isinstance(each, int)}
    held = orjson.loads(orjson.dumps(row | cells, default=_as_text, option=orjson.OPT_NON_STR_KEYS))
    return {name: _cut(each, _CELL_CHARS) for name, each in held.items()}


def _as_text(value: Any) -> str:
    return f"({len(value):,} bytes)" if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _cut(value: Any, most: int = _TEXT_CHARS) -> Any:
    """Return JSON with its long texts cut; data URLs in it are hardly more than named."""
    if isinstance(value, dict):
        return {key: _cut(each, most) for key, each in value.items()}
    if isinstance(value, list):
        return [_cut(each, most) for each in value]
    if not isinstance(value, str):
        return value
    most = _DATA_CHARS if _DATA_URL.match(value) else most
    return value if len(value) <= most else f"{value[:most]}… (of {len(value):,} characters)"


def _with_last(values: Iterable[int]) -> Iterator[tuple[int, int | None]]:
    before: int | None = None
    for value in values:
        yield value, before
        before = value


def picked(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return these columns of a row."""
    return {name: row[name] for name in names}
