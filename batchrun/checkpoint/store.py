"""What is settled, durably. The event loop hands outcomes over and never waits for the disk.

Theory of operation. `put` appends to a queue (`queue`). Every 20 ms the writer (`writer`) takes all that is queued and
commits it in one transaction, with the totals that it changes, so that totals and rows never disagree. While an outcome
waits for longer than `queue.MAX_AGE_S`, nothing more is sent. In write-ahead mode such a commit survives the death of
the process. Once a second another thread (`fsync`) forces the log to the disk: a disk may take longer for that than an
answer may wait for its commit. What was forced survives the death of the machine. So after a kill, what was in flight
or younger than a commit is sent again; after a power cut, the last second too. A write that fails keeps what it could
not write, reports it, and is tried once more when the store closes.

Where job and input have not changed, a resumed run need not look at rows that are settled: a mark (`mark`) says up to
where every row is. For the others, `lookup` asks the file.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from batchrun.checkpoint import facts
from batchrun.checkpoint.batches import BatchLog
from batchrun.checkpoint.execution_log import ExecutionLog
from batchrun.checkpoint.facts import Fact
from batchrun.checkpoint.file import PAGE_BYTES, broken, connect, set_mode, translated
from batchrun.checkpoint.fsync import Forcing
from batchrun.checkpoint.in_flight import Journal, Owing, in_flight
from batchrun.checkpoint.limit_history import LimitHistory
from batchrun.checkpoint.lookup import ChangedRow, Lookup
from batchrun.checkpoint.mark import STEP_ROWS, SettledMark
from batchrun.checkpoint.models import ModelNumbers
from batchrun.checkpoint.queue import WriteQueue
from batchrun.checkpoint.reader import SET_FACT, read_fact, write_fact
from batchrun.checkpoint.ready import Sealed
from batchrun.checkpoint.salvage.examine import examine
from batchrun.checkpoint.tables import FILE_NAME, Asked
from batchrun.checkpoint.totals import Extra
from batchrun.checkpoint.twins import Twins, forget_twins
from batchrun.checkpoint.writer import COMMIT_EVERY_S, OnBroken, OnCommit, Writer
from batchrun.errors import InputError
from batchrun.records import AnswerSource, ModelTotals, Outcome, Usage, parts_of

A = TypeVar("A", bound=Asked)
T = TypeVar("T")

_INTERRUPT_EVERY_S = 0.02
"""How often a statement is interrupted that another thread runs while the store closes."""


class Store:
    """The checkpoint of one run directory, open for writing.

    Opened by `with`; until `start`, one other thread may change it by `using`; from then on only the writer does.
    """

    def __init__(self, directory: Path, page_bytes: int = PAGE_BYTES) -> None:
        """Open nothing yet; `page_bytes` is the size of a page of a new file."""
        self.path, self._page_bytes = directory / FILE_NAME, page_bytes
        self.notice: str | None = None
        """What the user should know about how this file is kept."""
        self._queue = WriteQueue()
        self.has_room, self.has_space = self._queue.has_room, self._queue.has_space
        """Return whether more may be sent, and put; asked before each request, so they are the queue's own."""
        self._mark = SettledMark()
        self._models = ModelNumbers(self.path, self._queue)
        self._lookup = Lookup(self.path, self._models)
        self._writer = Writer(self.path, self._queue, self._models, self._mark)
        self.packer = self._writer.packer
        """Knows what bodies are packed with."""
        self.history = ExecutionLog(self._queue)
        """Gets when this execution begins, pauses, resumes and ends."""
        self.note_limit = LimitHistory(self._queue).note
        """Has a change of a limit added to its history."""
        self.batches = BatchLog(self.path, self._queue, self._models, self._lookup.reload)
        self._lock = threading.Lock()  # SQLite crashes where a connection is closed that another thread is using
        self.is_note_done = False
        """Whether all that the note of what is in flight says stands in the checkpoint too: then it goes at the end."""

    def __enter__(self) -> Self:
        examine(self.path)
        with contextlib.ExitStack() as opened:  # closes what is open when a later step fails
            with translated(self.path):
                self.connection = opened.enter_context(
                    contextlib.closing(connect(self.path, page_bytes=self._page_bytes))
                )
                is_wal = set_mode(self.connection)
                if not is_wal:
                    self.notice = f"{self.path.parent} supports no write-ahead log: every commit is forced to the disk"
                reader = connect(self.path)
                opened.callback(reader.close)
                self._inode = self.path.stat().st_ino
                self._models.load(self.connection)
                self._lookup.load(reader)
                self._load()
                self.history.load(self.connection, self.parts)
            self._journal = opened.enter_context(contextlib.closing(Journal(self.path.parent)))
            log = self.path.with_name(self.path.name + "-wal") if is_wal else None
            self._forcing = Forcing(log, self._journal, lambda problem: self._on_broken(broken(self.path, problem)))
            self.unrecorded = self._owed()
            """Requests that the last execution had sent, and whose end was not recorded when its process died."""
            with translated(self.path):
                self.unrecorded_ever = self.unrecorded + (read_fact(self.connection, facts.UNRECORDED) or 0)
                """The same of all executions."""
            self.spent_usd = self._journal.usd
            """Money that earlier executions had spent or set aside, as far as they kept a cap."""
            self.spent_tokens = self._journal.tokens
            """Tokens, likewise."""
            self._owing = Owing(self._journal, self._sent())
            self.sending = self._owing.sending
            """Notes how many requests are in flight, and money and tokens, before they are sent."""
            opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.stop()
        self._forcing.end()
        while not self._lock.acquire(timeout=_INTERRUPT_EVERY_S):
            self.connection.interrupt()
        try:
            self._writer.finish()
            self._forcing.force()
            if self.is_note_done and kind is None and not self._owed():
                self._journal.remove()
        except (sqlite3.Error, OSError) as problem:
            if kind is None:
                raise broken(self.path, problem) from problem
        finally:
            for opened in (self.batches, self._lookup, self.connection, self._journal):
                opened.close()
            self._lock.release()

    @contextlib.contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection, to change the tables before `start`; the store does not close meanwhile.

        Raises:
            RunDirectoryError: the file cannot be read or written, or the store closes.
        """
        with self._lock, translated(self.path):
            yield self.connection

    def start(self, on_commit: OnCommit, on_broken: OnBroken) -> None:
        """Start the writer.

        Args:
            on_commit: called from here and from the writer's thread with how many outcomes have become durable.
            on_broken: called likewise when a write has failed; nothing is written after it.
        """
        self._on_broken = on_broken
        with self.using() as connection:
            if self.unrecorded:  # kept before the note that tells it is written over
                write_fact(connection, facts.UNRECORDED, self.unrecorded_ever)
            self._writer.start(on_commit, on_broken)
        self.sending(0, self.spent_usd, self.spent_tokens)
        self._forcing.start()

    # From the loop's thread: never waits.

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still where it was opened: what is written to a deleted one is lost."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    @property
    def totals(self) -> dict[str, ModelTotals]:
        """What each model's part adds up to, of what is durable."""
        return dict(self._writer.totals)

    @property
    def parts(self) -> dict[AnswerSource, ModelTotals]:
        """What each source of answers adds up to: the parts of `totals`."""
        return parts_of(self._writer.totals, self._writer.sources.totals)

    @property
    def settled_rows(self) -> int:
        """Rows from the first on that are all settled, as far as is known without looking at each."""
        return self._mark.rows

    def put(self, outcome: Outcome) -> None:
        """Have an outcome written."""
        self._owing.accepted += 1
        if outcome.attempts == 0:
            self._owing.note_unsent()
        self._queue.put(outcome)

    def put_ready(self, ready: Sealed) -> None:
        """Have outcomes written that another process has made ready; `sending` is to follow."""
        self._owing.accepted += ready.rows
        self._queue.put_ready(ready)
        self._writer.hurry()

    def paid(self, model: str, usage: Usage, endpoint: str = "") -> None:
        """Have the tokens of an answer counted that belongs to no row."""
        self._queue.add(Extra(model, usage=usage, endpoint=endpoint))

    def attempted(self, model: str, attempts: int, throttled: int, endpoint: str = "", answered_by: str = "") -> None:
        """Have attempts counted that are in no outcome."""
        self._queue.add(Extra(model, None, attempts, throttled, endpoint, answered_by))

    def set_fact(self, fact: Fact[T], value: T | None) -> None:
        """Have the value of a fact written."""
        self._queue.run(SET_FACT, fact.name, fact.encoded(value))

    # From the reader's thread, or before `start`.

    def fact(self, fact: Fact[T]) -> T | None:
        """Return the value of a fact; None where it was not noted."""
        return self._lookup.fact(fact)

    def store_endpoints_as(self, names: Mapping[str, str]) -> None:
        """Store what is answered from now on under other names of its endpoints, by their names in the job."""
        self._writer.sources.stored_as = names

    def model_id(self, model: str) -> int:
        """Return the number of a model in this file; a new one gets the next."""
        return self._models.number_of(model)

    def id_of(self, asked: Asked) -> int:
        """Return the number under which a request's outcome is kept."""
        return self._models.id_of(asked)

    def expect(self, per_row: int) -> None:
        """Set how many outcomes a settled row has, and bring the mark of the settled rows up to date."""
        self._mark.per_row = per_row
        with self.using() as connection:
            self._mark.rows = self._mark.moved(connection, self._lookup.ends_at // STEP_ROWS)

    def adopt(self, outcomes: Iterable[Outcome], run: str) -> None:
        """Write outcomes that were taken from another run, in one transaction, before `start`.

        Args:
            outcomes: nothing was sent for them.
            run: directory of that run.
        """
        for outcome in outcomes:
            self._queue.put(outcome)
        with self.using():
            self._writer.commit(is_last=False, run=run)
        self.reload()

    def share_answers(self, *, is_wanted: bool) -> None:
        """Have requests that ask the same sent once, and the outcome copied for the others; or stop that."""
        with self.using() as connection:
            if is_wanted:
                self._writer.twins = Twins(connection)
            else:
                forget_twins(connection)

    def settled(self, first: int, end: int) -> set[int]:
        """Return which of the rows from `first` to below `end` are settled. Needs `expect`."""
        return self._lookup.settled(first, end, self._mark.per_row)

    def may_have(self, row: int) -> bool:
        """Return whether this row or a later one had an outcome when the checkpoint was opened."""
        return row < self._lookup.ends_at

    def unsettled(self, batch: Sequence[A]) -> list[A]:
        """Return those of a batch, in input order, that have no outcome yet, and will get none from another row.

        Raises:
            InputError: one was settled with another content: the input is not the one that the run began with.
        """
        for model in dict.fromkeys(each.model for each in batch):
            self._models.number_of(model)  # before its outcomes come
        try:
            left = self._lookup.unsettled(batch)
        except ChangedRow as changed:
            self.set_fact(facts.MISMATCH, changed.row)
            raise InputError(
                f"row {changed.row} is not what it was when this run began: the input was changed while it was read, "
                "or is another; run the same command again, or use another -o DIR"
            ) from None
        twins = self._writer.twins
        if twins is None:
            return left
        while twins.is_behind and not self._writer.closing.wait(COMMIT_EVERY_S):
            pass  # the writer needs time
        return self._lookup.firsts(left, twins)

    def reload(self) -> None:
        """Read totals and bounds again, after a change to the tables from outside this class."""
        self._load()
        self._owing.reload(self._sent())

    def _load(self) -> None:
        self._writer.load(self.connection)
        self._lookup.reload()

    def _owed(self) -> int:
        return in_flight(self._journal.owed, self._sent(), 0)

    def _sent(self) -> int:
        return sum(sums.requests for sums in self._writer.totals.values()) - self._writer.copies
