"""Whether an input can be used as a whole, as its first rows show, and what users should know about it."""

import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain, takewhile

import pyarrow as pa

from batchrun.errors import InputError, JobError
from batchrun.job.judging import SEEN
from batchrun.job.sections import Job
from batchrun.prompts.advice import header_advice, listed, notices, other_form, template_flag, template_notices
from batchrun.prompts.condition import SETTING, Condition
from batchrun.prompts.input.diagnosis import HEAD_BYTES, encoding_advice, misnamed
from batchrun.prompts.input.files import InputFile, nearest
from batchrun.prompts.input.first_run import column_names, known_names
from batchrun.prompts.input.folders import FIRST
from batchrun.prompts.input.frame import shown_input
from batchrun.prompts.input.lines import chunks
from batchrun.prompts.input.parquet_file import open_parquet
from batchrun.prompts.input.reader import RowReader, open_file
from batchrun.prompts.judge_template import JUDGE_TEMPLATES, check_sees_answer, missing_columns
from batchrun.prompts.rows import Form, RowForms
from batchrun.records import Row

LOOK_ROWS = 100
"""Rows that are looked at before anything is sent, unless one of the first is valid."""


_ANSWER = f"-t '{{{{ {FIRST}.response }}}}'"


class FirstRows:
    """The first rows of an input."""

    def __init__(self, job: Job, forms: RowForms, files: Sequence[InputFile], rows: Sequence[Row]) -> None:
        """Take the first rows.

        Args:
            job: what to run.
            forms: the job's.
            files: of the input, at least one.
            rows: some rows from the first on; only `LOOK_ROWS` of them are looked at.
        """
        self._job, self._forms, self._files = job, forms, files
        self._rows = rows[:LOOK_ROWS]
        self._where = ", ".join(map(shown_input, job.input.path))
        self._columns = [row.columns for row in self._rows if row.columns is not None]

    def check(self, problem_of: Callable[[Row], str | None]) -> list[str]:
        """Return what users should know about the input although it can be run.

        Args:
            problem_of: returns what is wrong with a row.

        Raises:
            InputError: there are no rows, none can be used, or a column that the job names is not there.
            JobError: the job and the rows name no model, or a template asks every row the same.
        """
        rows, columns = self._rows, self._columns
        if not rows:
            raise InputError(f"{self._where}: holds no rows")
        if not columns:
            raise self._none_usable(f"{rows[0].source}: {rows[0].problem}")
        forms = {self._forms.form(each) for each in columns}
        known = self._known_columns()
        if forms == {None}:
            raise InputError(f"{self._where}: {self._without_form(known)}")
        if "batch" not in forms and not self._job.models:
            raise JobError("the job and the rows name no model; add -m MODEL, or name in [model]")
        self._check_columns(known)
        self._check_target()
        problems = list(takewhile(bool, map(problem_of, rows)))  # no further: a row may have images to read
        if len(problems) == len(rows):
            raise self._none_usable(str(problems[0]))
        has_attachments = bool(self._job.prompt.attached)
        encoding = self._encoding_advice()
        return [
            *([] if encoding is None else [f"{self._files[0].name}: rows that are not UTF-8 fail{encoding}"]),
            *self._table_notices(),
            *self._run_notices(forms),
            *notices(self._forms, forms, known, columns, self._json_lines),
            *template_notices(self._forms, known, columns, has_attachments=has_attachments),
        ]

    def _table_notices(self) -> list[str]:
        """Return the note for a text file whose lines look like those of a table."""
        file = self._files[0]
        if file.format != "txt" or not (cure := misnamed(self._head, "txt", file.for_commands)):
            return []
        return [f"{file.name}: each line is sent as a prompt{cure}"]

    def _run_notices(self, forms: set[Form | None]) -> list[str]:
        """Return the note for a run whose prompts are sent again, without its answers."""
        runs = [file.folder for file in self._files if file.format == "run"]
        if not runs or "template" in forms:
            return []
        return [f"{runs[0]}: the prompts of its rows are sent again; a template reads the answers: {_ANSWER}"]

    def _none_usable(self, problem: str) -> InputError:
        """Return the error for rows none of which can be used, with the cure for their file."""
        cure = self._encoding_advice() or self._header_advice()
        if cure == "" and self._files[0].format != "csv":
            cure = misnamed(self._head, self._files[0].format, self._files[0].for_commands)
        if self._files[0].is_stdin and "is not JSON" in problem:
            cure = (
                "; standard input is read as JSON Lines: save other formats in a file with their ending, such as .txt"
            )
        count = len(self._rows)
        none = "the only row cannot" if count == 1 else f"none of the first {count} rows can"
        return InputError(f"{none} be used: {problem}{cure}")

    def _encoding_advice(self) -> str | None:
        """Return what ends a message about a first file that is not UTF-8; None where it is, or need not be."""
        file = self._files[0]
        return None if file.encoding else encoding_advice(self._head, file.for_commands)

    @cached_property
    def _head(self) -> bytes:
        """The first bytes of the first file, unpacked; empty of Parquet, Excel, and what is not on this machine."""
        file, head = self._files[0], b""
        if file.format in ("parquet", "run", "xlsx") or file.is_stdin or file.found is not None:
            return head
        with suppress(OSError, EOFError, zlib.error), open_file(file) as raw:
            for chunk in chunks(raw, encoding=file.encoding):
                head += chunk.content
                if len(head) >= HEAD_BYTES:
                    break
        return head

    @property
    def _json_lines(self) -> str | None:
        """The path for commands, if the input is one file of JSON Lines."""
        file = self._files[0]
        return file.for_commands if file.format == "jsonl" and len(self._files) == 1 else None

    def _without_form(self, known: list[str]) -> str:
        """Return what is wrong with rows that have no form, and the cure that works for these rows."""
        rows = self._columns
        if self._files[0].format == "parquet":  # only the columns were read that have a meaning
            batch = next(iter(RowReader(self._files, limit=LOOK_ROWS)), [])
            rows = [row.columns for row in batch if row.columns is not None]
        if self._files[0].format == "run":
            cure = f"a template reads them: {_ANSWER}"
            return f"{self._forms.absence}; its columns are {listed(known)}; {cure}"
        if found := other_form(rows, self._forms, self._json_lines):
            return found
        if rows and (missing := self._forms.missing(rows[0])):
            cure = f"; each row needs {' and '.join(missing)}: name a column so"
        else:
            cure = template_flag(rows, known, self._forms.labels)
        return f"{self._forms.absence}; its columns are {listed(known)}{cure}{self._header_advice()}"

    def _header_advice(self) -> str:
        """Return the cure for CSV whose first line may be a row, not a header; empty for other files."""
        file = self._files[0]
        if file.format != "csv" or file.found is not None:
            return ""
        if cure := misnamed(self._head, "csv", file.for_commands):
            return cure
        names = list(self._columns[0]) if self._columns else None
        return header_advice(
            names, self._columns, needed=self._needed(names or []), head=self._head, path=file.for_commands
        )

    def _needed(self, known: Sequence[str]) -> list[str]:
        """Return the columns that a header must have: those that the job names, and something to ask."""
        asked = [] if self._forms.asked is None else self._forms.asked.missing(known)
        return list(dict.fromkeys([*(asked or ["prompt"]), *(name for _, name in self._missing(known))]))

    def _missing(self, known: Sequence[str]) -> list[tuple[str, str]]:
        """Return the columns that the job names and that are not among these, each with its setting."""
        job = self._job
        stated = [template for template in (self._forms.system, self._forms.asked) if template is not None]
        wanted = [(template.setting, name) for template in stated for name in template.missing(known)]
        named = (
            ("input.id", job.input.id),
            ("prompt.images", job.prompt.images),
            ("prompt.files", job.prompt.files),
            *job.evaluate.reads,
            *(("output.keep", name) for name in job.output.keep or ()),
        )
        others = [(setting, name) for setting, name in named if name is not None and name not in known]
        return [*wanted, *others, *missing_columns(job, known)]

    def _check_columns(self, known: list[str]) -> None:
        for setting, name in self._missing(known):
            known = [*known, *SEEN] if setting in JUDGE_TEMPLATES else known
            there = f"its columns are {listed(known)}{self._header_advice()}"
            raise InputError(
                f"{self._where}: has no column {name}, which {setting} names{nearest(name, known)}; {there}"
            )
        check_sees_answer(self._job)

    def check_condition(self, condition: Condition) -> None:
        """Refuse a condition that reads a column which is not there; raises `InputError`."""
        known = self._known_columns()
        if missing := condition.missing(known):
            name = missing[0]
            raise InputError(
                f"{self._where}: has no column {name}, which {SETTING} names{nearest(name, known)}; its columns are"
                f" {listed(known)}; a column that not every row has is tested first: {name} is defined and …"
            )

    def _check_target(self) -> None:
        """Refuse a target column of Parquet that holds bytes, such as images: no answer can be compared with them."""
        reads = dict(self._job.evaluate.reads)
        if not reads or self._files[0].format != "parquet":
            return
        rows = next(iter(RowReader(self._files, columns=tuple(reads.values()), limit=LOOK_ROWS)), [])
        for setting, name in reads.items():
            values = [value for row in rows if row.columns and (value := row.columns.get(name)) is not None]
            if values and all(isinstance(value, bytes) for value in values):
                what = "its values are bytes that are not text; name a column of texts or numbers"
                raise InputError(f"{self._where}: {setting} = {name}: {what}")

    def _known_columns(self) -> list[str]:
        """Return the names of the columns; of Parquet also those that are not read."""
        names = dict.fromkeys(chain.from_iterable(self._columns))
        file = self._files[0]
        if file.format in ("parquet", "run"):
            with open_file(file) as raw:
                schema: pa.Schema = open_parquet(raw, file).schema_arrow
            stated = column_names(file, schema).values()
            names = dict.fromkeys([*(known_names(stated) if file.format == "run" else stated), *names])
        return list(names)
