"""Which rows of an input are used: of a run only the completed ones. Rows keep their numbers in the input."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batchrun.job.sections import Job
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.first_run import completed_rows, is_completed
from batchrun.prompts.input.folders import FIRST
from batchrun.prompts.input.reader import RowReader
from batchrun.records import Row


def selects_rows(job: Job, files: Sequence[InputFile]) -> bool:
    """Return whether some rows of the input may be left out, apart from those after `limit`."""
    return not job.input.include_failed and any(file.format == "run" for file in files)


def choice_of(job: Job, files: Sequence[InputFile]) -> dict[str, Any]:
    """Return which rows of the input are used, by the settings that leave some out; empty where all are."""
    return {"include_failed": False} if selects_rows(job, files) else {}


def includes(choice: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    """Return whether every row of an earlier choice from the same input is in this choice too."""
    return all(name in earlier and earlier[name] == value for name, value in choice.items())


class Selection:
    """Chooses rows. Only for inputs of which some rows may be left out."""

    def __init__(self, job: Job, files: Sequence[InputFile]) -> None:
        self._limit = job.input.limit
        self._files = files

    @property
    def columns(self) -> frozenset[str]:
        """Columns that it reads."""
        return frozenset({FIRST})

    def known_rows(self) -> int | None:
        """Return how many rows are used, where that takes only a moment."""
        rows = completed_rows(self._files)
        return rows if rows is None or self._limit is None else min(rows, self._limit)

    def chosen(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that are used."""
        return [row for row in rows if is_completed(row)]

    def none_text(self) -> str:
        """Return what is wrong with an input of which no row is used."""
        return "holds no completed rows; --include-failed uses failed ones"


class SelectedRows:
    """The rows of a reader that are used, with its progress."""

    def __init__(self, reader: RowReader, selection: Selection, limit: int | None, first: int) -> None:
        """Prepare to read.

        Args:
            reader: of all rows.
            selection: chooses among them.
            limit: only the first N rows that are used.
            first: row that the reader begins with; those before it are used, all of them.
        """
        self._reader, self._selection, self._limit = reader, selection, limit
        self._is_at_limit = False
        self.rows_used = first
        """Rows handed out, or about to be, and those before the first."""

    @property
    def rows_read(self) -> int:
        """Input rows read, also those that are not used."""
        return self._reader.rows_read

    @property
    def is_complete(self) -> bool:
        """Whether the last row that is used has been handed out."""
        return self._is_at_limit or self._reader.is_complete

    @property
    def fraction_read(self) -> float | None:
        """How much of the input's bytes lies behind the rows handed out, 0 to 1; None with standard input."""
        return 1.0 if self._is_at_limit else self._reader.fraction_read

    def close(self) -> None:
        """End the iteration, in whatever thread it is, at its next list of rows."""
        self._reader.close()

    def __iter__(self) -> Iterator[list[Row]]:
        """Yield lists of rows; empty ones while no row is used, so that the caller can give up.

        Raises:
            InputError, RunDirectoryError: as the reader.
        """
        for rows in self._reader:
            used = self._selection.chosen(rows)
            if self._limit is not None and self.rows_used + len(used) >= self._limit:
                del used[self._limit - self.rows_used :]
                self.rows_used = self._limit
                self._is_at_limit = True  # last: another thread may read it before it reads the number
                yield used
                return
            self.rows_used += len(used)
            yield used
