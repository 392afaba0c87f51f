"""What is settled, durably. One writer thread; the loop hands outcomes over and never waits for the disk.

Theory of operation. `put` appends to a queue. Every 20 ms the writer takes all that has queued up and commits it in one
transaction, with the totals that it changes, so that totals and rows never disagree. In write-ahead mode such a commit
survives the death of the process; once a second the log is forced to the disk, by another thread, since a disk may take
longer for that than an answer may wait for its commit. What was forced survives the death of the machine.
So a killed process sends again what was in flight or younger than a commit, a dead machine that and its last second. A
write that fails keeps what it could not write, tells `on_broken`, and is tried once more when the store closes.

Where job and input are what they were, a resumed run need not look at rows that are settled. For that the writer keeps
a mark below which every row is: once a second it counts the ids of the next thousand rows, and goes on while there are
as many as there should be.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact
from batchrun.checkpoint.file import broken, connect, translated
from batchrun.checkpoint.fsync import Forcing
from batchrun.checkpoint.in_flight import Journal
from batchrun.checkpoint.reader import SET_FACT, read_fact, read_models, read_totals, write_fact
from batchrun.checkpoint.salvage.examine import examine
from batchrun.checkpoint.tables import FILE_NAME, MODELS, Asked, pack
from batchrun.checkpoint.totals import Beside, Copied, added, with_copies, write_totals
from batchrun.checkpoint.twins import Twins, forget_twins
from batchrun.checkpoint.writer import columns_of, insert_many
from batchrun.errors import InputError, RunDirectoryError
from batchrun.records import ModelTotals, Outcome, Usage

COMMIT_EVERY_S = 0.02
"""How old an answer may get before it is committed; the crash contract allows 0.05."""

MAX_QUEUED = 20_000
MAX_QUEUED_BYTES = 64 << 20
"""How much may wait for the writer before nothing more is admitted."""

MARK_EVERY_S = 1.0
_MARK_ROWS = 1024
"""How often the mark below which all rows are settled is moved, and its step."""

_MARK_STEPS = 64
"""Most steps in one commit, so that none takes long."""

A = TypeVar("A", bound=Asked)
T = TypeVar("T")
_Statement = tuple[str, tuple[Any, ...]]


class Store:
    """The checkpoint of one run directory, open for writing.

    Opened by `with`; until `start`, the caller's thread may change it; from then on only the writer does.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self.notice: str | None = None
        """What people should know of how this file is kept."""
        self._outcomes: deque[Outcome] = deque()
        self._statements: deque[_Statement] = deque()  # whatever else is to be written
        self._besides: deque[Beside] = deque()
        self._twins: Twins | None = None
        self._queued_bytes = 0
        self._models: dict[str, int] = {}
        self._totals: dict[str, ModelTotals] = {}
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._reading = threading.Lock()  # SQLite crashes where a connection is closed that another thread is using
        self._marked_at_s = 0.0
        self._accepted = 0  # outcomes put, over all runs
        self._copies = 0  # outcomes that were not, but copied from those of their twins
        self._per_row = 0  # outcomes of a row that is settled; 0: not known, so no mark is kept
        self.settled_rows = 0
        """Rows from the first on that are settled, as far as is known without looking at each."""
        self._ends_at = 0  # no outcome that was there when the file was opened has this row, or a later one

    def __enter__(self) -> Self:
        examine(self.path)
        with translated(self.path):
            self.connection = connect(self.path)
            (mode,) = self.connection.execute("PRAGMA journal_mode = WAL").fetchone()
            self._is_wal = mode == "wal"
            if not self._is_wal:
                self.notice = f"{self.path.parent} supports no write-ahead log: every commit is forced to the disk"
            self.connection.execute(f"PRAGMA synchronous = {'NORMAL' if self._is_wal else 'FULL'}")
            self.connection.execute("PRAGMA wal_autocheckpoint = 4000")
            self._reader = connect(self.path)
            self._inode = self.path.stat().st_ino
            self._models = {name: number for number, name in read_models(self.connection).items()}
            self.reload()
        self._journal = Journal(self.path.parent)
        log = self.path.with_name(self.path.name + "-wal") if self._is_wal else None
        self._forcing = Forcing(log, self._journal, lambda problem: self._on_broken(broken(self.path, problem)))
        self.unrecorded = max(0, self._journal.owed - self._accepted)
        """Requests that the last run had sent, and whose end was not recorded when its process died."""
        self.unrecorded_ever = self.unrecorded + (read_fact(self.connection, facts.UNRECORDED) or 0)
        """The same of all runs."""
        self.spent_usd = self._journal.usd
        """Money that earlier runs had spent or set aside, as far as they kept a cap."""
        self.spent_tokens = self._journal.tokens
        """The same of tokens."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._forcing.end()
        try:
            while self._twins is not None and self._twins.are_due:
                self._commit(is_last=False)
            self._commit(is_last=True)
            self._forcing.force()
        except (sqlite3.Error, OSError) as problem:
            if kind is None:
                raise broken(self.path, problem) from problem
        finally:
            with self._reading:
                self._reader.close()
            self.connection.close()
            self._journal.close()

    def start(
        self,
        on_commit: Callable[[list[Outcome]], None],
        on_broken: Callable[[RunDirectoryError], None],
    ) -> None:
        """Start the writer.

        Args:
            on_commit: called from the writer's thread with the outcomes that have become durable.
            on_broken: called from the writer's thread when a write has failed; nothing is written after it.
        """
        self._on_commit, self._on_broken = on_commit, on_broken
        if self.unrecorded:  # kept before the note that says it is written over
            with translated(self.path):
                write_fact(self.connection, facts.UNRECORDED, self.unrecorded_ever)
        self.sending(0, self.spent_usd, self.spent_tokens)
        self._thread = threading.Thread(target=self._write, name="batchrun-checkpoint", daemon=True)
        self._thread.start()
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
    def is_keeping_up(self) -> bool:
        """Whether there is room for more in the queue."""
        return len(self._outcomes) < MAX_QUEUED and self._queued_bytes < MAX_QUEUED_BYTES

    @property
    def totals(self) -> dict[str, ModelTotals]:
        """What each model's part adds up to, of what is durable."""
        return dict(self._totals)

    def sending(self, in_flight: int, usd: float = 0.0, tokens: int = 0) -> None:
        """Note how many requests are on their way, and money and tokens spent and set aside: before they are sent."""
        self._journal.note(self._accepted + in_flight, usd, tokens)

    def put(self, outcome: Outcome) -> None:
        """Have an outcome written."""
        self._accepted += 1
        if outcome.body is not None:
            self._queued_bytes += len(outcome.body)
        self._outcomes.append(outcome)

    def paid(self, model: str, usage: Usage) -> None:
        """Have the tokens of an answer counted that is no row's."""
        self._besides.append(Beside(model, usage=usage))

    def attempted(self, model: str, attempts: int, throttled: int) -> None:
        """Have attempts counted that are in no outcome."""
        self._besides.append(Beside(model, attempts=attempts, throttled=throttled))

    def note_limit(self, at_ms: int, limit: int, reason: str) -> None:
        """Have a change of the limit added to its history."""
        self._statements.append(("INSERT INTO limits VALUES (?, ?, ?)", (at_ms, limit, reason)))

    def set_fact(self, fact: Fact[T], value: T | None) -> None:
        """Have the value of a fact written."""
        self._statements.append((SET_FACT, (fact.name, fact.encoded(value))))

    # From the reader's thread, or before `start`.

    def fact(self, fact: Fact[T]) -> T | None:
        """Return the value of a fact; None where it was not noted."""
        with self._reading, translated(self.path):
            return read_fact(self._reader, fact)

    def model_id(self, model: str) -> int:
        """Return the number of a model in this file; a new one gets the next."""
        number = self._models.get(model)
        if number is None:
            number = len(self._models)
            if number >= MODELS:
                raise RunDirectoryError(f"{self.path}: more than {MODELS} models in one run; split the input by model")
            self._models[model] = number
            self._statements.append(("INSERT INTO models VALUES (?, ?)", (number, model)))
        return number

    def id_of(self, asked: Asked) -> int:
        """Return the number under which a request's outcome is kept."""
        return pack(asked.row, self.model_id(asked.model), asked.sample)

    def expect(self, per_row: int) -> None:
        """Say how many outcomes a row that is settled has, and bring the mark of the settled rows up to date."""
        self._per_row = per_row
        with translated(self.path):
            self.settled_rows = self._mark(self._ends_at // _MARK_ROWS)

    def share_answers(self, *, is_wanted: bool) -> None:
        """Have requests that ask the same sent once, and the outcome copied for the others; or no more."""
        with translated(self.path):
            if is_wanted:
                self._twins = Twins(self.connection)
            else:
                forget_twins(self.connection)

    def settled(self, first: int, end: int) -> set[int]:
        """Return which of the rows from `first` to below `end` are settled. Needs `expect`."""
        if first >= self._ends_at:
            return set()
        query = "SELECT id >> 24, count(*) FROM outcomes WHERE id >= ? AND id < ? GROUP BY 1"
        with self._reading, translated(self.path):
            counts = self._reader.execute(query, (pack(first, 0, 0), pack(end, 0, 0))).fetchall()
        return {row for row, count in counts if count >= self._per_row}

    def unsettled(self, batch: Sequence[A]) -> list[A]:
        """Return those of a batch, in input order, that have no outcome yet, and will get none from another row.

        Raises:
            InputError: one was settled with another content: the input is not the one that the run began with.
        """
        for model in dict.fromkeys(each.model for each in batch):
            self.model_id(model)  # before its outcomes come
        if not batch or batch[0].row >= self._ends_at:
            return self._firsts(batch)
        bounds = pack(batch[0].row, 0, 0), pack(batch[-1].row + 1, 0, 0)
        with self._reading, translated(self.path):
            settled = dict(self._reader.execute("SELECT id, key FROM outcomes WHERE id >= ? AND id < ?", bounds))
        left = []
        for each in batch:
            key = settled.get(self.id_of(each))
            if key is None:
                left.append(each)
            elif key != each.key:
                self.set_fact(facts.MISMATCH, each.row)
                raise InputError(
                    f"row {each.row} is not what it was when this run began: the input has changed while it was read, "
                    "or is another; run the same command again, or use another -o DIR"
                )
        return self._firsts(left)

    def _firsts(self, batch: Sequence[A]) -> list[A]:
        if self._twins is None:
            return list(batch)
        while self._twins.is_behind and not self._closing.wait(COMMIT_EVERY_S):
            pass  # the writer needs time
        with self._reading, translated(self.path):
            return self._twins.firsts(batch, self.id_of, self._reader)

    def reload(self) -> None:
        """Read totals and bounds again, after a change to the tables from outside this class."""
        self._totals = read_totals(self.connection)
        self._copies = read_fact(self.connection, facts.COPIES) or 0
        self._accepted = sum(sums.requests for sums in self._totals.values()) - self._copies
        self.settled_rows = read_fact(self.connection, facts.SETTLED_ROWS) or 0
        (last,) = self.connection.execute("SELECT max(id) FROM outcomes").fetchone()
        self._ends_at = 0 if last is None else (last >> 24) + 1

    # The writer's thread.

    def _write(self) -> None:
        while not self._closing.wait(COMMIT_EVERY_S):
            try:
                self._commit(is_last=False)
            except Exception as problem:  # noqa: BLE001  # whatever it is, a dead writer must not go unnoticed
                self._on_broken(broken(self.path, problem))
                return

    def _commit(self, *, is_last: bool) -> None:
        """Write all that is queued in one transaction. What could not be written stays queued."""
        outcomes, statements, besides = _taken(self._outcomes), _taken(self._statements), _taken(self._besides)
        has_twins = self._twins is not None and self._twins.are_due
        if not (outcomes or statements or besides or has_twins):
            return
        is_marked = is_last or time.monotonic() - self._marked_at_s >= MARK_EVERY_S
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            totals, copied = self._insert(outcomes, statements, besides)
            settled_rows = self._mark(_MARK_STEPS) if is_marked else self.settled_rows
            self.connection.execute("COMMIT")
        except BaseException:
            self._outcomes.extendleft(reversed(outcomes))
            self._statements.extendleft(reversed(statements))
            self._besides.extendleft(reversed(besides))
            if self._twins is not None:
                self._twins.failed()
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self._queued_bytes -= sum(len(outcome.body) for outcome in outcomes if outcome.body is not None)
        self._totals, self.settled_rows = totals, settled_rows
        self._copies += copied
        if self._twins is not None:
            self._twins.committed([(each.key, each.sample, self.id_of(each)) for each in outcomes])
        if is_marked:
            self._marked_at_s = time.monotonic()
        if outcomes and self._thread is not None:
            self._on_commit(outcomes)

    def _insert(
        self, outcomes: list[Outcome], statements: list[_Statement], besides: list[Beside]
    ) -> tuple[dict[str, ModelTotals], int]:
        """Write; return the totals, and how many outcomes were copied for twins."""
        for statement, arguments in statements:
            self.connection.execute(statement, arguments)
        insert_many(self.connection, "outcomes", [columns_of(outcome, self._models) for outcome in outcomes])
        copied = self._copy(outcomes)
        totals = with_copies(added(self._totals, outcomes, besides), copied, self._models)
        for model, sums in totals.items():
            if sums is not self._totals.get(model):
                write_totals(self.connection, self._models[model], sums)
        return totals, sum(each.rows for each in copied)

    def _copy(self, outcomes: list[Outcome]) -> list[Copied]:
        """Give twins their outcomes, and keep count of them in the same transaction."""
        if self._twins is None:
            return []
        copied = self._twins.copy({self.id_of(outcome) for outcome in outcomes})
        if copied:
            copies = self._copies + sum(each.rows for each in copied)
            write_fact(self.connection, facts.COPIES, copies)
        return copied

    def _mark(self, steps: int) -> int:
        """Return up to which row all are settled, at most so many steps further than is known, and keep it."""
        rows = self.settled_rows
        for _ in range(steps if self._per_row else 0):
            bounds = pack(rows, 0, 0), pack(rows + _MARK_ROWS, 0, 0)
            query = "SELECT count(*) FROM outcomes WHERE id >= ? AND id < ?"
            (count,) = self.connection.execute(query, bounds).fetchone()
            if count < _MARK_ROWS * self._per_row:
                break
            rows += _MARK_ROWS
        if rows != self.settled_rows:
            write_fact(self.connection, facts.SETTLED_ROWS, rows)
        return rows


def _taken(queue: deque[T]) -> list[T]:
    """Return what is queued, taken out; more may be added meanwhile."""
    return [queue.popleft() for _ in range(len(queue))]
