"""A job's input → batches of requests and broken rows, in input order. The other stages use only this module."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Self, cast

from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.condition import Condition
from batchrun.prompts.count import input_rows
from batchrun.prompts.draw import all_rows, choose, counted, parts_of
from batchrun.prompts.first_rows import LOOK_ROWS, FirstRows
from batchrun.prompts.input.files import InputFile, find_files
from batchrun.prompts.input.first_run import check_run, run_notices
from batchrun.prompts.input.folders import folder_notices
from batchrun.prompts.input.frame import shown_input
from batchrun.prompts.input.reader import RowReader
from batchrun.prompts.input.spool import Spool
from batchrun.prompts.rendering import Entry as Entry
from batchrun.prompts.rendering import Rendering
from batchrun.prompts.sample import Part, both
from batchrun.prompts.selection import SelectedRows, Selection
from batchrun.prompts.strict import refuse_broken
from batchrun.records import Row, RowCount

Settled = Callable[[int, int], Collection[int]]


class Source:
    """Reads a job's input. `open` checks it, `batches` or `rows` yields it; all may run in another thread."""

    def __init__(self, job: Job, stdin: BinaryIO | None = None, spool: Path | None = None) -> None:
        """Compile the job's templates and parameters; reads nothing.

        Args:
            job: what to run.
            stdin: what `-` stands for.
            spool: file that gets the unpacked bytes of `stdin` before their rows are handed out; see `keep_input`.

        Raises:
            JobError: a template does not compile, or a parameter cannot be sent.
        """
        self._job = job
        self._spool = None if stdin is None or spool is None else Spool(stdin, spool)
        self._stdin = stdin if self._spool is None else cast(BinaryIO, self._spool)
        self.rendering = Rendering(job)
        """Makes requests of the rows."""
        self._condition = None if job.input.where is None else Condition(job.input.where)
        self._selection: Selection | None = None
        self._part: Part | None = None
        self._end: int | None = None  # number after that of the last row that is used, once counted
        self._reader: RowReader | SelectedRows = RowReader([])
        self._rows_before: RowCount | None = None  # as counted by an earlier pass
        self._rows_known: int | None = None  # as counted elsewhere
        self._pending: Iterator[list[Row]] | None = None
        self._again: BinaryIO | None = None  # what came over standard input, once it is read again
        self.files: list[InputFile] = []
        """The files that the job's paths mean; known once opened."""
        self.notices: list[str] = []
        """What users should know about the input although it can be run; known once opened."""
        self.is_other_stdin = False
        """Whether standard input has other rows than an earlier run has kept; see `compare_input`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fraction_read(self) -> float | None:
        """How much of the input lies behind the rows handed out, 0 to 1; None with standard input."""
        fraction, part = self._reader.fraction_read, self._part
        return fraction if part is None or fraction is None else (part.number + fraction) / part.parts

    @property
    def rows_read(self) -> int:
        """Input rows read: handed out, or about to be."""
        return self._reader.rows_read

    @property
    def input_rows(self) -> RowCount | None:
        """How many input rows the job uses, `limit` included; None while nothing is known.

        What an earlier pass over the input has found stays known until this pass knows more.
        """
        reader = self._reader  # another thread may read: ask whether it is at its end before asking how far it is
        is_complete, limit = reader.is_complete, self._job.input.limit
        rows = input_rows(reader.rows_used, reader.fraction_read, is_complete=is_complete, limit=limit)
        if is_complete and self._part is None:
            return rows
        if self._rows_known is not None:
            return RowCount(self._rows_known, is_exact=True)
        before = self._rows_before
        return before if rows is None or (before is not None and before.is_exact) else rows

    def expect(self, rows: int) -> None:
        """Note how many input rows the job uses, which the caller is certain of: `limit` is counted in."""
        self._rows_known = rows

    def compare_input(self) -> None:
        """Compare standard input with what an earlier run has kept of it. Call it before `open`."""
        if self._spool is not None:
            self.is_other_stdin = not self._spool.is_continued()

    def keep_input(self) -> None:
        """Keep what comes over standard input, instead of what an earlier run has kept: nothing refuses the run now.

        Raises:
            RunDirectoryError: the file cannot be written.
        """
        if self._spool is not None:
            self._spool.keep()

    @property
    def is_complete(self) -> bool:
        """Whether the last row has been handed out."""
        return self._reader.is_complete and (self._part is None or self._part.number + 1 == self._part.parts)

    def open(self) -> None:
        """Find the files and look at the first rows; `batches` yields these rows too.

        Raises:
            InputError: the input as a whole cannot be used, or `strict` found broken rows.
            JobError: the job and the rows name no model, or a template asks every row the same.
        """
        self.files = find_files(self._job.input.path, self._job.input.encoding)
        self.notices += folder_notices(self._job.input.path, [file.path for file in self.files])
        if self._job.input.strict and any(file.is_stdin for file in self.files):
            raise InputError("-: --strict reads the input twice, standard input can be read only once; use a file")
        check_run(self.files, self._job)
        self.notices += run_notices(self.files, include_failed=self._job.input.include_failed)
        chosen = choose(self._job, self.files, self._condition, self._check_condition)
        self._selection = chosen.selection
        self.notices += chosen.notices
        if chosen.rows is not None:
            self.expect(chosen.rows)
        self._reader = self._new_reader()
        rows = iter(self._reader)
        first = self._look(rows)
        looked = list(chain.from_iterable(first))
        if not looked and self._selection is not None and self._reader.rows_read:
            raise InputError(f"{', '.join(map(shown_input, self._job.input.path))}: {self._selection.none_text()}")
        seen = FirstRows(self._job, self.rendering.forms, self.files, looked)
        self.notices += seen.check(self.rendering.problem)
        self.notices = [
            notice.encode(errors="replace").decode() for notice in self.notices
        ]  # names of files may not be UTF-8
        if self._job.input.strict:
            refuse_broken(chain.from_iterable(self._new_reader()), self.rendering.problem)
        self._pending = chain(first, rows)

    @property
    def selects_rows(self) -> bool:
        """Whether some rows of the input may be left out, apart from those after `limit`; known once opened."""
        return self._selection is not None

    def parts(self) -> list[Part | None]:
        """Return the parts in which the input is read for a random order. Counts its rows where there are several.

        Raises:
            InputError: the input cannot be read to its end.
        """
        parts = parts_of(self._job, self.files, self.input_rows)
        if len(parts) > 1 and self._selection is not None and self._selection.numbers is None:
            rows = counted(self._job, self.files, self._selection)
            self._end = rows.end
            self.expect(rows.rows_used)
        elif len(parts) > 1 and self._selection is None and self._rows_known is None:
            rows_in_all, limit = all_rows(self.files), self._job.input.limit
            self.expect(rows_in_all if limit is None else min(rows_in_all, limit))
        return parts

    def batches(
        self, first: int = 0, settled: Settled | None = None, part: Part | None = None
    ) -> Iterator[list[Entry]]:
        """Yield requests and broken rows, models × samples of them per input row, in order; now and then nothing.

        For the arguments and errors see `rows`.
        """
        for rows in self.rows(first, settled, part):
            if rows:
                yield from self.rendering.batches(rows)
            else:
                yield []

    def rows(self, first: int = 0, settled: Settled | None = None, part: Part | None = None) -> Iterator[list[Row]]:
        """Yield the rows of the input, in order; now and then nothing.

        They can be gone through again, once the one before is at its end or, of files, given up.

        Args:
            first: row to begin with.
            settled: names the rows among those of a range, from and to below, that are not wanted.
            part: one of `parts`; all rows unless given.

        Raises:
            InputError: a file breaks off, or standard input, which is not kept, is asked for a second time.
        """
        rows, self._pending = self._pending, None
        if rows is None or first or part:
            if any(file.is_stdin for file in self.files):
                self._rewind()
            self._rows_before = self.input_rows
            self._part = part
            self._reader = self._new_reader(first)
            rows = iter(self._reader)
        for batch in rows:
            if not batch:
                yield []
                continue
            skipped = settled(batch[0].number, batch[-1].number + 1) if settled else ()
            yield [row for row in batch if row.number not in skipped] if skipped else batch

    def close(self) -> None:
        """Stop reading. Standard input stays open: it is the caller's."""
        self._reader.close()
        self._pending = None
        for kept in (self._again, self._spool):
            if kept is not None:
                kept.close()

    def _rewind(self) -> None:
        """Have standard input read again from where it was kept."""
        if self._again is None:
            if self._spool is None or not self.is_complete:
                raise InputError("-: standard input can be read only once")
            self._stdin = self._again = self._spool.reopen()
        self._again.seek(0)

    def _new_reader(self, first: int = 0) -> RowReader | SelectedRows:
        columns, selection, limit, part = (
            self.rendering.forms.columns,
            self._selection,
            self._job.input.limit,
            self._part,
        )
        numbers = both(None if selection is None else selection.numbers, None if part is None else part.numbers)
        reader = RowReader(
            self.files,
            stdin=self._stdin,
            columns=columns if selection is None else selection.columns(columns),
            as_bytes=tuple(each.column for each in self.rendering.attachments),
            limit=limit if selection is None else self._end,
            first=first,
            numbers=numbers,
        )
        if selection is None and part is None:
            return reader
        selection = replace(selection or Selection(), numbers=numbers)
        check = None if self._condition is None else self._check_condition
        return SelectedRows(reader, selection, limit=None if part else limit, first=first, check=check)

    def _check_condition(self, rows: Sequence[Row]) -> None:
        """Refuse a condition that reads a column which these rows, the first, do not have."""
        if self._condition is not None:
            FirstRows(self._job, self.rendering.forms, self.files, rows).check_condition(self._condition)

    def _look(self, rows: Iterator[list[Row]]) -> list[list[Row]]:
        """Return the first lists of rows: until one row can be used, so that a slow pipe is not waited for."""
        first: list[list[Row]] = []
        for batch in filter(None, rows):
            first.append(batch)
            if sum(map(len, first)) >= LOOK_ROWS or any(
                self.rendering.problem(row) is None for row in batch[:LOOK_ROWS]
            ):
                break
        return first
