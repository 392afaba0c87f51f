"""The answers of a run, as Python and notebooks use them: read from results.parquet when they are asked for."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.api import frame_types, html
from batchrun.api.arguments import answer_schema
from batchrun.api.page import ReportPage
from batchrun.api.words import errors_in_python, in_python
from batchrun.engine.options import Options, ScoreFunction, named
from batchrun.errors import JobError, RunDirectoryError
from batchrun.prompts.input.arrow import python_dicts
from batchrun.prompts.input.files import nearest
from batchrun.report.notebook_bar import is_notebook
from batchrun.results.export import export
from batchrun.results.refresh import rebuild
from batchrun.results.row_groups import batches_of
from batchrun.results.run_directory import RESULTS
from batchrun.results.state import is_fresh, summary_of
from batchrun.results.summary import Summary
from batchrun.results.view import FORMATS, View
from batchrun.storage.lost import lost_text
from batchrun.storage.runs import is_run, such_as_run

if TYPE_CHECKING:
    import datasets
    import pandas
    import polars

_STATUS = "status"
_ROW = "row"

_BATCH_ROWS = 1024


class Answers:
    """The answers of a run: one row per input row, model and sample, in input order.

    Nothing is read before it is asked for. Tables have the columns of the input with the types of the frame that was
    passed, and the columns of results.parquet.
    """

    def __init__(self, directory: str | Path, *, status: str | None = None) -> None:
        """Open the answers of a run.

        Args:
            directory: of the run.
            status: only rows of this status: `completed` or `failed`.

        Raises:
            RunDirectoryError: the directory holds no run.
        """
        self.directory = Path(directory)
        self._only = status
        if not is_run(self.directory):
            such = such_as_run(self.directory)
            cure = f"name a run{such}" if such else "check the path, or run a job with this directory first"
            raise RunDirectoryError(lost_text(self.directory) or f"{self.directory}: holds no run; {cure}")

    @property
    def summary(self) -> Summary:
        """State, counts, tokens and cost of the run, as they are now."""
        summary = summary_of(self.directory)
        return dataclasses.replace(summary, message=in_python(summary.message))

    @property
    def are_failed(self) -> bool:
        """Whether these are only the failed rows."""
        return self._only == "failed"

    @property
    def completed(self) -> "Answers":
        """Only the rows that have an answer."""
        return Answers(self.directory, status="completed")

    @property
    def failed(self) -> "Answers":
        """Only the rows that failed; `error_kind` and `error` say why."""
        return Answers(self.directory, status="failed")

    def __len__(self) -> int:
        with self._opened() as file:
            if self._only is None:
                return int(file.metadata.num_rows)
            return sum(batch.num_rows for batch in self._batches(file, [_STATUS]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each row as a dict."""
        with self._opened() as file:
            for batch in self._batches(file, file.schema_arrow.names):
                yield from python_dicts(batch)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as an Arrow table.

        Args:
            columns: only these, in this order.

        Raises:
            JobError: there is no such column.
        """
        with self._opened() as file:
            names = self._checked(columns, file.schema_arrow.names)
            schema = pa.schema([file.schema_arrow.field(name) for name in names])
            if self._only is None:
                table = file.read(names).select(names)
            else:
                table = pa.Table.from_batches(self._batches(file, names), schema)
        return frame_types.restored(table, self.directory)

    def to_pandas(self, columns: Sequence[str] | None = None, **options: Any) -> "pandas.DataFrame":
        """Return the rows as a pandas data frame. A frame's own index and types come back.

        Args:
            columns: only these, in this order.
            options: of pyarrow's `Table.to_pandas`, such as `types_mapper=pandas.ArrowDtype`.
        """
        library = _import("pandas")
        columns = [columns] if isinstance(columns, str) else columns
        read = None if columns is None else [*columns, *frame_types.index_columns(self.directory, columns)]
        is_numbered = frame_types.numbers_rows(self.directory)
        if is_numbered and read is not None and _ROW not in read:
            read.append(_ROW)
        frame: pandas.DataFrame = self.to_arrow(read).to_pandas(**options)
        places = library.Index(frame[_ROW].to_numpy()) if is_numbered else frame.index
        if not places.equals(frame.index):  # some rows, or several answers to each
            frame.index = places
        return frame if columns is None or _ROW in columns or not is_numbered else frame.drop(columns=_ROW)

    def to_polars(self, columns: Sequence[str] | None = None) -> "polars.DataFrame":
        """Return the rows as a Polars data frame; `columns`: only these, in this order."""
        frame: polars.DataFrame = _import("polars").DataFrame(self.to_arrow(columns))
        return frame

    def to_dataset(self, columns: Sequence[str] | None = None) -> "datasets.Dataset":
        """Return the rows as a Hugging Face `Dataset`; `columns`: only these, in this order."""
        library = _import("datasets")
        return library.Dataset(library.table.InMemoryTable(frame_types.for_datasets(self.to_arrow(columns))))

    def export(
        self,
        format: str = "parquet",  # noqa: A002  # as the command's --format
        *,
        wide: bool = False,
        schema: Any = None,
        scorer: ScoreFunction | None = None,
    ) -> list[Path]:
        """Write the results again from the checkpoint, at no cost, and return the paths.

        Args:
            format: parquet, jsonl, csv, or openai (the two files of OpenAI's Batch API).
            wide: one row per prompt, with a column for each model and sample.
            schema: read the answers by another schema: as in `answer`, or "none" for no schema.
            scorer: score the rows with this function.

        Raises:
            JobError: an argument does not fit this run, or the scorer raises for every row.
            RunDirectoryError: a file cannot be written.
        """
        if format not in FORMATS:
            raise JobError(f"format = {format!r}; must be one of {', '.join(FORMATS)}")
        view = View(
            format=format,
            is_wide=wide,
            schema=None if schema in (None, "none") else answer_schema(schema),
            is_schemaless=schema == "none",
            scorer=None if scorer is None else named(scorer),
        )
        with errors_in_python():
            exported = rebuild(self.directory, view)
            _print_notes(exported.notices)
            if exported.problem is not None:
                raise JobError(exported.problem)
        return exported.paths

    def report(self) -> ReportPage:
        """Write report.html, and return the page, which a notebook shows."""
        from batchrun.report.content import write_report  # slow to import

        with errors_in_python():
            reported = write_report(self.directory)
        _print_notes(reported.notices)
        return ReportPage(reported.path)

    def status(self) -> Summary:
        """Return state, counts, tokens, cost and history of the run as they are now, also while it runs."""
        return self.summary

    def retry_failed(self, *, agree: bool = False, progress: bool | None = True) -> "Answers":
        """Send the failed rows again, and return the answers. The run keeps its job, its input and its directory.

        Args:
            agree: whether to start above a cap.
            progress: whether to show the progress.

        Raises:
            BatchrunError, KeyboardInterrupt: as `answer`.
        """
        from batchrun.api.calls import resume  # which makes answers

        return resume(self.directory, Options(retry_failed=True, agree=agree, progress=progress))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the rows to any library that reads Arrow streams: `polars.DataFrame(answers)`."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        rows = "" if self._only is None else f"the {self._only} rows of "
        return f"<{rows}{html.line(self.summary)}>"

    def _repr_html_(self) -> str:
        with suppress(RunDirectoryError):
            return html.table(self.summary, self._first(), only=self._only)
        return f"<pre>{escape(str(self.directory))}</pre>"

    def _first(self) -> pa.Table:
        """Return the first rows, for a notebook."""
        with self._opened() as file:
            rows: list[pa.RecordBatch] = []
            for batch in self._batches(file, html.shown_columns(file.schema_arrow.names)):
                rows.append(batch)
                if sum(each.num_rows for each in rows) >= html.MOST_ROWS:
                    break
            names = html.shown_columns(file.schema_arrow.names)
            schema = pa.schema([file.schema_arrow.field(name) for name in names])
        return pa.Table.from_batches(rows, schema).slice(0, html.MOST_ROWS)

    def _opened(self) -> pq.ParquetFile:
        """Open the results, which are written first if they are missing or older than the checkpoint.

        Raises:
            RunDirectoryError: they cannot be written or read.
        """
        if not is_fresh(self.directory):
            with errors_in_python():
                _print_notes(export(self.directory).notices)
        path = self.directory / RESULTS
        try:
            return pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as problem:
            cure = f"write it again: batchrun.open_run({str(self.directory)!r}).export()"
            raise RunDirectoryError(f"{path}: cannot be read ({problem}); {cure}") from problem

    def _batches(self, file: pq.ParquetFile, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of the rows that are wanted."""
        read = [*names] if self._only is None or _STATUS in names else [*names, _STATUS]
        for batch in batches_of(file, _BATCH_ROWS, columns=read):
            if self._only is not None:
                batch = batch.filter(pc.equal(batch.column(_STATUS).cast(pa.string()), self._only))
            if batch.num_rows:
                yield batch.select(list(names))

    def _checked(self, columns: Sequence[str] | None, known: Sequence[str]) -> list[str]:
        names = list(known if columns is None else dict.fromkeys([columns] if isinstance(columns, str) else columns))
        if unknown := next((name for name in names if name not in known), None):
            raise JobError(f'the results have no column "{unknown}"{nearest(unknown, known)}')
        return names


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {in_python(note)}", file=sys.stdout if is_notebook() else sys.stderr)  # for people


def _import(name: str) -> Any:
    """Import a library that only some people have."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise JobError(f"{name} is not installed; install it: pip install {name}") from problem
