"""The thread that commits: every 20 ms it writes what is queued in one transaction, with the totals that it changes.

Totals and rows are in the same transaction, so they never disagree. A transaction that fails is rolled back, and what
it wrote is queued again: it is tried once more when the store closes.

What a worker of a cluster has made ready is older when it comes than other answers get, and is committed sooner.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from batchrun.checkpoint import facts
from batchrun.checkpoint.file import broken
from batchrun.checkpoint.mark import SettledMark
from batchrun.checkpoint.models import ModelNumbers
from batchrun.checkpoint.packing import Packer
from batchrun.checkpoint.queue import Load, WriteQueue
from batchrun.checkpoint.reader import read_fact, read_totals, write_fact
from batchrun.checkpoint.ready import Ready, made_ready, opened
from batchrun.checkpoint.replies import ReplyWriter
from batchrun.checkpoint.sources import Sources
from batchrun.checkpoint.tables import OUTCOME_COLUMNS, OWN_BODY, columns_of, insert
from batchrun.checkpoint.totals import Copied, added, with_copies, write_totals
from batchrun.checkpoint.twins import Twins
from batchrun.errors import RunDirectoryError
from batchrun.records import ModelTotals, Outcome

COMMIT_EVERY_S = 0.02
"""How old an answer may get before it is committed; the crash contract allows 0.05."""

_COMMIT_SOON_S = 0.005
"""The same of what another process has made ready: it is older already."""

MARK_EVERY_S = 1.0
"""How often the mark of the settled rows is moved."""

_MARK_STEPS = 64
"""Most steps of the mark in one commit, so that no commit takes long."""

_OWN = OUTCOME_COLUMNS[:-1]
_RETIRE = f"INSERT INTO retired ({', '.join(_OWN)}) VALUES ({', '.join('?' * len(_OWN))})"  # only names of columns

_REPLY = Outcome._fields.index("reply")
"""By place a field of a named tuple is read in half the time, and this is done for every row."""

OnCommit = Callable[[int], None]
OnBroken = Callable[[RunDirectoryError], None]


class Writer:
    """Commits what is queued: in its thread from `start` to `stop`, before and after that when `commit` is called."""

    def __init__(self, path: Path, queue: WriteQueue, models: ModelNumbers, mark: SettledMark) -> None:
        self._path, self._queue, self._models, self._mark = path, queue, models, mark
        self._on_commit: OnCommit = lambda rows: None
        self._thread: threading.Thread | None = None
        self._marked_at_s = 0.0
        self.closing = threading.Event()
        """Set when nothing more will be queued."""
        self._hurry = threading.Event()
        self.packer, self._replies = Packer(), ReplyWriter()
        self.twins: Twins | None = None
        """Copies outcomes for rows that ask the same; None: each row is sent."""
        self.totals: dict[str, ModelTotals] = {}
        """What each model's part of the run adds up to: of what is committed."""
        self.sources = Sources()
        """Where the answers come from that are not the only endpoint's."""
        self.copies = 0
        """Committed outcomes that were copied, for which nothing was sent."""

    def load(self, connection: sqlite3.Connection) -> None:
        """Write to this connection from now on; read what it has."""
        self._connection = connection
        self.totals = read_totals(connection)
        self.sources.load(connection)
        self.copies = read_fact(connection, facts.COPIES) or 0
        self._mark.load(connection)
        self.packer.load(connection)
        self._replies.forget()

    def start(self, on_commit: OnCommit, on_broken: OnBroken) -> None:
        """Commit what is queued, so that the execution is on record when run.json says that it runs. Start the thread.

        Args:
            on_commit: called from here and from the thread with how many outcomes have become durable.
            on_broken: called likewise when a write has failed; nothing is written after it.
        """
        self._on_commit, self._on_broken = on_commit, on_broken
        if self._has_committed():
            self._thread = threading.Thread(target=self._keep_committing, name="batchrun-checkpoint", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Wait until the thread has ended."""
        self.closing.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join()

    def hurry(self) -> None:
        """Have what is queued committed soon. From any thread."""
        self._hurry.set()

    def finish(self) -> None:
        """Commit all that is left, after `stop`; raises what SQLite raises."""
        while self.twins is not None and self.twins.are_due:
            self.commit(is_last=False)
        self.commit(is_last=True)

    def _keep_committing(self) -> None:
        while not self.closing.is_set():
            if self._hurry.wait(COMMIT_EVERY_S):
                self._hurry.clear()
                self.closing.wait(_COMMIT_SOON_S)
            if self.closing.is_set() or not self._has_committed():
                return

    def _has_committed(self) -> bool:
        """Commit; where that fails, report it and return False."""
        try:
            self.commit(is_last=False)
        except Exception as problem:  # noqa: BLE001  # whatever it is, a dead writer must not go unnoticed
            self._on_broken(broken(self._path, problem))
            return False
        return True

    def commit(self, *, is_last: bool, run: str = "") -> None:
        """Write all that is queued in one transaction. What could not be written stays queued.

        Args:
            is_last: whether nothing more will be queued.
            run: that all queued outcomes were taken from; empty where they were sent for this one.
        """
        load = self._queue.take()
        has_twins = self.twins is not None and self.twins.are_due
        if not (any(load) or has_twins):
            self._queue.written(load)
            return
        is_marked = is_last or time.monotonic() - self._marked_at_s >= MARK_EVERY_S
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            ready = [opened(each.content) for each in load.ready]
            totals, copied = self._insert(load, ready, run)
            settled_rows = self._mark.moved(self._connection, _MARK_STEPS) if is_marked else self._mark.rows
            self._connection.execute("COMMIT")
        except BaseException:
            self._queue.give_back(load)
            if self.twins is not None:
                self.twins.failed()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._replies.forget()
            raise
        self._queue.written(load)
        self.totals, self._mark.rows = totals, settled_rows
        self.sources.committed()
        self.copies += copied
        if self.twins is not None:
            self.twins.committed([(each.key, each.sample, self._models.id_of(each)) for each in load.outcomes])
            self.twins.committed(asked for each in ready for asked in each.asked)
        if is_marked:
            self._marked_at_s = time.monotonic()
        if load.rows or copied:
            self._on_commit(load.rows)
        if not is_last:
            self.packer.keep_up(self._connection, sum(sums.completed for sums in self.totals.values()))

    def _insert(self, load: Load, ready: list[Ready], run: str) -> tuple[dict[str, ModelTotals], int]:
        """Write; return the totals, and how many outcomes were copied for twins."""
        for statement, values in load.statements:
            self._connection.execute(statement, values)
        numbers = self._models.numbers
        if load.outcomes:
            ready = [*ready, made_ready(load.outcomes, numbers, self.packer.pack)]
        for made in ready:
            insert(self._connection, OWN_BODY, made.inserts)
        if shared := [each for each in load.outcomes if each[_REPLY] is not None]:
            self._replies.insert(self._connection, shared, numbers)
        parts = [part for made in ready for part in made.parts]
        self.sources.insert(self._connection, parts, load.extras, run)
        for each in load.retired:
            row = columns_of(self._models.id_of(each), each, self.packer.pack)
            rowid = self._connection.execute(_RETIRE, row).lastrowid
            self.sources.note(self._connection, each, -(rowid or 0))
        copied = self._copy(ready)
        self.sources.write_totals(self._connection, copied, numbers)
        sums = [(part.source.model, part.sums) for part in parts]
        totals = with_copies(added(self.totals, sums, load.extras), copied, numbers)
        for model, its in totals.items():
            if its is not self.totals.get(model):
                write_totals(self._connection, numbers[model], its)
        stated = {model: sums.stated_as_0 for model, sums in totals.items()}
        if stated != {model: sums.stated_as_0 for model, sums in self.totals.items()}:
            listed = {model: sorted(names) for model, names in stated.items()}
            write_fact(self._connection, facts.STATED_AS_0, listed)
        return totals, sum(each.rows for each in copied)

    def _copy(self, settled: list[Ready]) -> list[Copied]:
        """Give twins their outcomes, and keep count of them in the same transaction."""
        if self.twins is None:
            return []
        ids = {number for each in settled for number in each.ids}
        copied = self.twins.copy(ids, with_sources=self.sources.are_any)
        if copied:
            write_fact(self._connection, facts.COPIES, self.copies + sum(each.rows for each in copied))
        return copied
