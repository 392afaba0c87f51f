"""A job's input → batches of requests and broken rows, in input order. The other stages use only this module."""

from collections.abc import Callable, Collection, Iterator
from itertools import chain, takewhile
from pathlib import Path
from typing import BinaryIO, Self

import pyarrow as pa

from batchrun.errors import InputError, JobError
from batchrun.job.sections import Job
from batchrun.prompts.advice import constant_notices, listed, notices, other_form, template_flag
from batchrun.prompts.count import input_rows
from batchrun.prompts.images import Images
from batchrun.prompts.input.files import InputFile, find_files, nearest
from batchrun.prompts.input.folders import folder_notices
from batchrun.prompts.input.parquet_file import open_parquet, stated_rows
from batchrun.prompts.input.reader import RowReader, open_file
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.rows import RowForms
from batchrun.prompts.template import TemplateProblem
from batchrun.prompts.values import RowProblem
from batchrun.records import BadRow, Request, Row, RowCount
from batchrun.storage.urls import shown

Entry = Request | BadRow

Settled = Callable[[int, int], Collection[int]]

LOOK_ROWS = 100
"""Rows that are looked at before anything is sent, unless one of the first is valid."""

_BATCH_BYTES = 1 << 20
"""Bodies in one batch, roughly: long prompts come fewer at a time."""

_STRICT_SHOWN = 10


def _none_is_settled(*_: int) -> Collection[int]:
    return ()


class Source:
    """Reads a job's input. `open` checks it, `batches` yields it; both may run in a worker thread."""

    def __init__(self, job: Job, stdin: BinaryIO | None = None, spool: Path | None = None) -> None:
        """Compile the job's templates and parameters; reads nothing.

        Args:
            job: what to run.
            stdin: what `-` stands for.
            spool: file that gets the unpacked bytes of `stdin` before their rows are handed out.

        Raises:
            JobError: a template does not compile, or a parameter cannot be sent.
        """
        self._job = job
        self._stdin = stdin
        self._spool = spool
        self._forms = RowForms(job)
        self._maker = RequestMaker(job)
        self._images = Images(job.prompt.images) if job.prompt.images else None
        self._reader = RowReader([])
        self._rows_before: RowCount | None = None  # as counted by an earlier pass
        self._rows_known: int | None = None  # as counted elsewhere
        self._pending: Iterator[list[Row]] | None = None
        self._kept: BinaryIO | None = None  # what came over standard input, once it is read again
        self.files: list[InputFile] = []
        """The files that the job's paths mean; known once opened."""
        self.notices: list[str] = []
        """What users should know about the input although it can be run; known once opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fraction_read(self) -> float | None:
        """How much of the input lies behind the rows handed out, 0 to 1; None with standard input."""
        return self._reader.fraction_read

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
        rows = input_rows(reader.rows_read, reader.fraction_read, is_complete=is_complete, limit=limit)
        if is_complete:
            return rows
        if self._rows_known is not None:
            return RowCount(self._rows_known, is_exact=True)
        before = self._rows_before
        return before if rows is None or (before is not None and before.is_exact) else rows

    def expect(self, rows: int) -> None:
        """Note how many input rows the job uses, which the caller is certain of: `limit` is counted in."""
        self._rows_known = rows

    @property
    def is_complete(self) -> bool:
        """Whether the last row has been handed out."""
        return self._reader.is_complete

    def open(self) -> None:
        """Find the files and look at the first rows; `batches` yields these rows too.

        Raises:
            InputError: the input as a whole cannot be used, or `strict` found broken rows.
            JobError: the job and the rows name no model.
        """
        self.files = find_files(self._job.input.path)
        self.notices += folder_notices(self._job.input.path, [file.path for file in self.files])
        if self._job.input.strict and any(file.is_stdin for file in self.files):
            raise InputError("-: --strict reads the input twice, standard input can be read only once; use a file")
        if (stated := stated_rows(self.files)) is not None:
            limit = self._job.input.limit
            self.expect(stated if limit is None else min(stated, limit))
        self._reader = self._new_reader()
        rows = iter(self._reader)
        first = self._look(rows)
        self._check(list(chain.from_iterable(first)))
        if self._job.input.strict:
            self._check_all()
        self._pending = chain(first, rows)

    def batches(self, first: int = 0, settled: Settled = _none_is_settled) -> Iterator[list[Entry]]:
        """Yield requests and broken rows, models × samples of them per input row, in order.

        They can be gone through again, once the one before is at its end or, of files, given up.

        Args:
            first: row to begin with.
            settled: names the rows among those of a range, from and to below, that are not wanted.

        Raises:
            InputError: a file breaks off, or standard input, which is not kept, is asked for a second time.
        """
        rows, self._pending = self._pending, None
        if rows is None or first:
            if any(file.is_stdin for file in self.files):
                self._rewind()
            self._rows_before = self.input_rows
            self._reader = self._new_reader(first)
            rows = iter(self._reader)
        for batch in rows:
            skipped = settled(batch[0].number, batch[-1].number + 1)
            yield from self._batches_of([row for row in batch if row.number not in skipped] if skipped else batch)

    def close(self) -> None:
        """Stop reading. Standard input stays open: it is the caller's."""
        self._reader.close()
        self._pending = None
        if self._kept is not None:
            self._kept.close()

    def _rewind(self) -> None:
        """Have standard input read again from where it was kept."""
        if self._kept is None:
            if self._spool is None or not self.is_complete:
                raise InputError("-: standard input can be read only once")
            self._kept, self._spool = self._spool.open("rb"), None
        self._kept.seek(0)
        self._stdin = self._kept

    def _new_reader(self, first: int = 0) -> RowReader:
        columns = self._forms.columns
        limit = self._job.input.limit
        return RowReader(
            self.files,
            stdin=self._stdin,
            spool=self._spool,
            columns=columns,
            as_bytes=() if self._images is None else (self._images.column,),
            limit=limit,
            first=first,
        )

    def _batches_of(self, rows: list[Row]) -> Iterator[list[Entry]]:
        batch: list[Entry] = []
        size_bytes = 0
        for row in rows:
            entries = self._entries(row)
            batch += entries
            size_bytes += sum(len(entry.body) for entry in entries if isinstance(entry, Request))
            if size_bytes >= _BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
        if batch:
            yield batch

    def _entries(self, row: Row) -> list[Request] | list[BadRow]:
        try:
            prompt = self._forms.prompt(row)
            if self._images is not None:
                prompt = self._images.added(prompt, row)
            return self._maker.requests(prompt)
        except (RowProblem, TemplateProblem) as problem:
            reason = row.problem or str(problem)
        except RecursionError:
            reason = "is nested too deeply"
        return list(self._maker.bad_rows(row, self._forms.label_of(row), reason))

    def _look(self, rows: Iterator[list[Row]]) -> list[list[Row]]:
        """Return the first lists of rows: until one row can be used, so that a slow pipe is not waited for."""
        first: list[list[Row]] = []
        for batch in rows:
            first.append(batch)
            if sum(map(len, first)) >= LOOK_ROWS or any(self._problem(row) is None for row in batch[:LOOK_ROWS]):
                break
        return first

    def _problem(self, row: Row) -> str | None:
        entry = self._entries(row)[0]
        return entry.message if isinstance(entry, BadRow) else None

    def _check(self, rows: list[Row]) -> None:
        rows = rows[:LOOK_ROWS]
        where = ", ".join(map(shown, self._job.input.path))
        if not rows:
            raise InputError(f"{where}: holds no rows")
        sound = [row.columns for row in rows if row.columns is not None]
        if not sound:
            raise InputError(f"none of the first {len(rows)} rows can be used: {rows[0].source}: {rows[0].problem}")
        forms = {self._forms.form(columns) for columns in sound}
        known = self._known_columns(sound)
        if forms == {None}:
            raise InputError(f"{where}: {self._without_form(known, sound)}")
        if "batch" not in forms and not self._job.models:
            raise JobError("the job and the rows name no model; add -m MODEL, or name in [model]")
        self._check_columns(known, uses_templates=forms != {"batch"}, uses_user="template" in forms, where=where)
        problems = list(takewhile(bool, map(self._problem, rows)))  # no further: a row may have images to read
        if len(problems) == len(rows):
            raise InputError(f"none of the first {len(rows)} rows can be used: {problems[0]}")
        self.notices += notices(self._forms, forms, known)
        if "template" in forms:
            self.notices += constant_notices(self._forms, known, sound, has_images=self._images is not None)

    def _without_form(self, known: list[str], rows: list[dict[str, object]]) -> str:
        """Return what is wrong with rows that have no form, and the cure that works for these rows."""
        file = self.files[0]
        if file.format == "parquet":  # only the columns were read that have a meaning
            batch = next(iter(RowReader(self.files, limit=LOOK_ROWS)), [])
            rows = [row.columns for row in batch if row.columns is not None]
        path = file.for_commands if file.format == "jsonl" and len(self.files) == 1 else None
        if found := other_form(rows, self._forms, path):
            return found
        cure = template_flag(rows, known, ("custom_id", "id", *filter(None, [self._job.input.id])))
        return f"has no messages and no prompt; its columns are {listed(known)}{cure}"

    def _check_columns(self, known: list[str], *, uses_templates: bool, uses_user: bool, where: str) -> None:
        wanted = [
            (template.setting, name)
            for template in self._forms.templates
            if uses_templates and (uses_user or template is not self._forms.user)
            for name in template.missing(known)
        ]
        if self._job.input.id is not None and self._job.input.id not in known:
            wanted.append(("input.id", self._job.input.id))
        if self._job.prompt.images is not None and self._job.prompt.images not in known:
            wanted.append(("prompt.images", self._job.prompt.images))
        if self._job.evaluate.target is not None and self._job.evaluate.target not in known:
            wanted.append(("evaluate.target", self._job.evaluate.target))
        wanted += [("output.keep", name) for name in self._job.output.keep or () if name not in known]
        for setting, name in wanted:
            there = f"its columns are {listed(known)}"
            raise InputError(f"{where}: has no column {name}, which {setting} names{nearest(name, known)}; {there}")

    def _known_columns(self, rows: list[dict[str, object]]) -> list[str]:
        """Return the names of the columns; of Parquet also those that are not read."""
        names = dict.fromkeys(chain.from_iterable(rows))
        for file in self.files[:1]:
            if file.format == "parquet":
                with open_file(file) as raw:
                    schema: pa.Schema = open_parquet(raw, file).schema_arrow
                names = dict.fromkeys([*schema.names, *names])
        return list(names)

    def _check_all(self) -> None:
        """Read everything once, for `strict`."""
        problems = []
        count = 0
        for batch in self._new_reader():
            for problem in filter(None, map(self._problem, batch)):
                count += 1
                if count <= _STRICT_SHOWN:
                    problems.append(problem)
        if count:
            more = f"\n… and {count - len(problems)} more" if count > len(problems) else ""
            raise InputError(f"{count} broken rows, and --strict allows none:\n" + "\n".join(problems) + more)
