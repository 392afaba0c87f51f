"""Makes a new checkpoint from what is readable of a damaged one. The damaged file is kept, and never written.

Theory of operation. Every record on every page that can be decoded is known by its shape, since no two tables have the
same. An outcome is taken if its columns can be those of one and, if it is completed, its answer is JSON. Where two have
the same place, the one that was settled later gets it. An outcome that may be outdated (its page was freed, superseded
or not yet committed) was paid for too: it is retired, so that the next run gives it to a request with the same key, and
to no other.

The origin of the requests is dropped on purpose, so that the next run compares the key of every row with its input: an
answer whose place was damaged finds the right one again, and only requests without an answer are sent. An outcome whose
checksum is wrong is left out, and its row is named.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from batchrun.checkpoint import origins, row_checksums, sources
from batchrun.checkpoint.facts import (
    BATCHES_AT,
    IS_TOTAL_EXACT,
    JOB,
    OF_PLACES,
    ORIGIN,
    SALVAGED,
    SALVAGED_BATCHES,
    SPENT_TOKENS,
    SPENT_USD,
    TOTAL,
    UNCHECKED,
    Fact,
    is_sound,
)
from batchrun.checkpoint.file import create, translated
from batchrun.checkpoint.in_flight import FILE_NAME as JOURNAL
from batchrun.checkpoint.in_flight import Journal
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.salvage.batches import FoundBatches
from batchrun.checkpoint.salvage.damaged import DamagedFile
from batchrun.checkpoint.salvage.examine import problem_of
from batchrun.checkpoint.salvage.models import FoundModels
from batchrun.checkpoint.salvage.outcomes import FoundOutcomes
from batchrun.checkpoint.salvage.shapes import table_of
from batchrun.checkpoint.salvage.small_rows import SmallRows
from batchrun.checkpoint.salvage.swap import Damaged, damaged_files, put_in_place
from batchrun.checkpoint.salvage.totals import Lost, lost_rows, settled_before, write_totals
from batchrun.checkpoint.tables import FILE_NAME, LOGS, insert_many
from batchrun.errors import RunDirectoryError
from batchrun.job.sections import Job
from batchrun.job.serialization import UnknownSettingError, job_from_dict
from batchrun.storage.lost import no_run

_FORGOTTEN = {fact.name for fact in OF_PLACES}

_HISTORY = ("limits", "executions", "pauses", "execution_totals", "sources", "endpoint_limits", "endpoint_pauses")
"""Tables that are taken over as they are."""


class Salvaged(NamedTuple):
    """What could be recovered."""

    rows: int
    """Settled rows."""
    retired: int
    """Answers whose place is in doubt, or whose request had left the job; the next run uses those that fit."""
    expected: int | None
    """Settled rows before the damage; None if that is lost too."""
    lost: Lost | None
    """How many of these are lost; None where nothing tells it."""
    kept: Path
    """Where the damaged file is now."""
    notices: list[str]
    """What else is lost, and what that means."""


def recover(directory: Path, made_from_it: Sequence[str] = ()) -> Salvaged | None:
    """Salvage a run's checkpoint if it is damaged; return None where all of it is sound.

    Args:
        directory: of the run.
        made_from_it: names of files that are made from the checkpoint. They are kept: they may have what is lost.

    Raises:
        RunDirectoryError: the directory is in use or holds no run; the file belongs to another program or has a newer
            version; nothing can be recovered.
    """
    if not any((directory / (FILE_NAME + suffix)).exists() for suffix in ("", *LOGS)):
        raise no_run(directory)
    with DirectoryLock(directory):
        return None if problem_of(directory) is None else salvage(directory, made_from_it)


def salvage(directory: Path, made_from_it: Sequence[str] = ()) -> Salvaged:
    """Put a new checkpoint in the place of a damaged one, with all that can be recovered of it.

    Killed at any moment, it leaves one of the two in place, and can be run again. Needs the directory's lock.

    Raises:
        RunDirectoryError: nothing can be recovered, or the directory cannot be written; then nothing is changed.
    """
    path = directory / FILE_NAME
    files = damaged_files(directory)
    temporary = directory / f".{FILE_NAME}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    try:
        with translated(path), closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")  # until it is whole, nobody needs it
            connection.execute("PRAGMA synchronous = OFF")
            create(connection)
            row_checksums.keep(connection)
            rescue = _Rescue(connection)
            rescue.read(files, _spent(directory))
        if rescue.rows + rescue.retired == 0 and not rescue.has_batches:
            raise RunDirectoryError(
                f"{path}: nothing can be recovered; it was not changed. Start again with --restart, which keeps it, "
                "or use another -o DIR"
            )
        kept = put_in_place(directory, temporary, files, made_from_it)
    except OSError as problem:
        cure = "make room, or make it writable, and try again"
        raise RunDirectoryError(f"{directory}: cannot be written ({problem.strerror}); {cure}") from problem
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return Salvaged(rescue.rows, rescue.retired, rescue.expected, rescue.lost, kept, rescue.notices)


class _Rescue:
    """Fills a new checkpoint with what is found in a damaged one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._facts: dict[str, str] = {}
        self._totals: dict[int, list[int]] = {}
        self._small = SmallRows()
        self._batches = FoundBatches(connection)
        self.rows = self.retired = 0
        self.has_batches = False
        self.expected: int | None = None
        self.lost: Lost | None = None
        self.notices: list[str] = []

    def read(self, files: Damaged, spent: dict[Fact[float], float]) -> None:
        """Take over all that is readable."""
        run = self._connection.execute
        run("BEGIN")
        with DamagedFile(files.file, files.log) as file:
            self._outcomes = FoundOutcomes(self._connection, file)
            for record, is_current in file.records():
                self._take(record.rowid, record.values, is_current)
        self._outcomes.complete()
        self._choose_rows()
        self._batches.put()
        self._write_facts(spent)
        self._write_models()
        self.expected = settled_before(self._totals)
        write_totals(self._connection, self._totals, self._models.names)
        run(origins.DROP_LOST)
        sources.recount(self._connection)
        run("COMMIT")
        self.lost = self._lost_rows()
        (self.rows,) = run("SELECT count(*) FROM outcomes").fetchone()
        self.has_batches = self._batches.has_any
        if self.has_batches:
            self.notices.append("batches may be under way at the provider; run the job again to collect their answers")
        if left_out := [name for name in self._small.left_out() if name.id not in _FORGOTTEN]:
            named = row_checksums.names_of(left_out)
            self.notices.append(f"left out, because it changed on the disk or is lost: {named}")
        (self.retired,) = run("SELECT count(*) FROM retired").fetchone()

    def _take(self, rowid: int | None, values: list[Any], is_current: bool) -> None:
        """Keep the content of a record."""
        table = table_of(rowid, values)
        if table == "facts":
            if is_sound(*values):
                self._small.take(table, values[0], values, is_current=is_current)
        elif table == "row_checksums":
            if is_current:
                self._small.take_checksum(*values)
        elif table == "model names":
            self._small.take("models", values[1], [values[1], values[0]], is_current=is_current)
        elif table is None or table == "dictionaries" or rowid is None:
            return
        elif table in ("outcomes", "replies"):
            self._outcomes.take(table, rowid, values, is_current)
        elif is_current:  # of the tables below, an old version says nothing new
            self._take_current(table, rowid, values)

    def _take_current(self, table: str, rowid: int, values: list[Any]) -> None:
        columns = [rowid if values[0] is None else values[0], *values[1:]]
        if table == "origins":
            self._connection.execute("INSERT OR IGNORE INTO origins VALUES (?, ?)", columns)
        elif table in ("batch_lines", "batch_answers"):
            self._batches.take(table, columns)
        else:
            self._small.take(table, rowid, columns, is_current=True)

    def _choose_rows(self) -> None:
        """Take those rows of small tables that are what was stored."""
        self._facts = {name: str(value) for name, value in self._small.rows("facts")}
        self._models = FoundModels(self._connection, self._outcomes, self._small.versions("models"))
        self._totals = {number: counts for number, *counts in self._small.rows("totals")}
        for row in self._small.rows("batches"):
            self._batches.take("batches", row)

    def _write_facts(self, spent: dict[Fact[float], float]) -> None:
        self._job()  # drops what is not a job
        facts = {name: value for name, value in self._facts.items() if name not in _FORGOTTEN}
        facts[SALVAGED.name] = SALVAGED.encoded(True)
        if JOB.name not in facts:
            self.notices.append("its job is lost; run the job again to fit its answers to it")
        if (changed := self._outcomes.changed_text()) is not None:
            self.notices.append(changed)
        if self._batches.has_any or BATCHES_AT.name in facts:
            facts[SALVAGED_BATCHES.name] = SALVAGED_BATCHES.encoded(True)
        if self._outcomes.are_unchecked():
            facts[UNCHECKED.name] = UNCHECKED.encoded(0)
        for fact, amount in spent.items():
            if amount > (fact.decoded(facts.get(fact.name, "null")) or 0):
                facts[fact.name] = fact.encoded(amount)
        self._connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
        for table in _HISTORY:
            insert_many(self._connection, table, [*map(tuple, self._small.rows(table))])

    def _job(self) -> Job | None:
        """Return the job; None where it cannot be read. What is not a job is dropped."""
        try:
            return job_from_dict(orjson.loads(self._facts[JOB.name]))
        except UnknownSettingError:  # not damaged, but of a newer version: it is kept as it is
            return None
        except (KeyError, TypeError, ValueError, AttributeError):
            self._facts.pop(JOB.name, None)
            return None

    def _write_models(self) -> None:
        job = self._job()
        if (notice := self._models.write(() if job is None else job.models)) is not None:
            self.notices.append(notice)

    def _lost_rows(self) -> Lost | None:
        """Return how many settled rows are lost."""
        known = self._facts.get(IS_TOTAL_EXACT.name) == IS_TOTAL_EXACT.encoded(True)
        total = TOTAL.decoded(self._facts.get(TOTAL.name, "null")) if known else None
        origin = ORIGIN.decoded(self._facts.get(ORIGIN.name, "null"))
        used = origin is None or not origin.get("rows")
        return lost_rows(self._connection, self.expected, total, are_all_rows_used=used)


def _spent(directory: Path) -> dict[Fact[float], float]:
    """Return money and tokens that the run had noted next to its checkpoint, as spent or set aside."""
    if not (directory / JOURNAL).exists():
        return {}
    with closing(Journal(directory)) as noted:
        return {SPENT_USD: noted.usd, SPENT_TOKENS: noted.tokens}
