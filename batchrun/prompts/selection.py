"""Which rows of an input are used: a sample, those that meet a condition, of a run only the completed ones.

All that count rows, estimate, check or resume read the same selection. Rows keep their numbers in the input, so that a
row that was bought in a sample is settled in a run of the whole input too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.job.sections import Job
from batchrun.prompts.condition import Condition
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.first_run import is_completed
from batchrun.prompts.input.folders import FIRST
from batchrun.prompts.input.parts import Numbers
from batchrun.prompts.input.reader import RowReader
from batchrun.prompts.template import TemplateProblem
from batchrun.records import Row


def choice_of(job: Job, files: Sequence[InputFile]) -> dict[str, Any]:
    """Return which rows of the input are used, by the settings that leave some out; empty where all are.

    `limit` is not among them.
    """
    given = job.input
    choice: dict[str, Any] = {} if given.where is None else {"where": given.where}
    if not given.include_failed and any(file.format == "run" for file in files):
        choice["include_failed"] = False
    return choice if given.sample is None else {**choice, "sample": given.sample, "sample_seed": given.sample_seed}


def includes(choice: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    """Return whether every row of an earlier choice from the same input is in this choice too."""
    if "sample" not in choice:
        return all(earlier.get(name) == value for name, value in choice.items())
    is_same = {**choice, "sample": None} == {**earlier, "sample": None}
    return is_same and "sample" in earlier and bool(earlier["sample"] <= choice["sample"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Chooses rows."""

    numbers: Numbers | None = None
    """Finds the rows that are used by their numbers; None for all."""
    only_completed: bool = False
    """Whether failed rows of a run are left out."""
    condition: Condition | None = None

    @classmethod
    def of_choice(cls, choice: Mapping[str, Any], condition: Condition | None = None) -> "Selection":
        """Return the selection of a choice, without its sample; compiles its condition unless given."""
        if condition is None and "where" in choice:
            condition = Condition(choice["where"])
        return cls(only_completed="include_failed" in choice, condition=condition)

    @property
    def reads_rows(self) -> bool:
        """Whether rows must be read to choose among them; else their numbers tell."""
        return self.only_completed or self.condition is not None

    def columns(self, others: frozenset[str] | None) -> frozenset[str] | None:
        """Return the columns that it reads, and others; None for any."""
        own: frozenset[str] | None = frozenset() if self.condition is None else self.condition.columns
        own = own | {FIRST} if own is not None and self.only_completed else own
        return None if own is None or others is None else own | others

    def chosen(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that are used. A row for which the condition cannot be evaluated is a broken row."""
        if self.numbers is not None and rows:
            numbers = set(self.numbers(rows[0].number, rows[-1].number + 1))
            rows = [row for row in rows if row.number in numbers]
        if self.only_completed:
            rows = [row for row in rows if is_completed(row)]
        return list(rows) if self.condition is None else list(_meeting(self.condition, rows))

    def rows(
        self,
        files: Sequence[InputFile],
        limit: int | None = None,
        check: Callable[[Sequence[Row]], None] | None = None,
    ) -> "SelectedRows":
        """Return the rows of files that are used, with the columns that only the choice needs."""
        reader = RowReader(files, columns=self.columns(frozenset()))
        return SelectedRows(reader, self, limit=limit, check=check)

    def none_text(self) -> str:
        """Return what is wrong with an input of which no row is used."""
        if self.condition is not None:
            return "no row meets input.where"
        return "holds no completed rows; --include-failed uses failed ones"


def _meeting(condition: Condition, rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        try:
            if row.columns is None or condition.holds(row.columns):  # a row that cannot be read is reported
                yield row
        except TemplateProblem as problem:
            yield row._replace(columns=None, problem=str(problem))


class SelectedRows:
    """The rows of a reader that are used, with its progress."""

    def __init__(
        self,
        reader: RowReader,
        selection: Selection,
        *,
        limit: int | None = None,
        first: int = 0,
        check: Callable[[Sequence[Row]], None] | None = None,
    ) -> None:
        """Prepare to read.

        Args:
            reader: of all rows.
            selection: chooses among them.
            limit: only the first N rows that are used.
            first: row that the reader begins with; those before it are used, all of them.
            check: gets the first rows, chosen or not; raises where they cannot be chosen from.
        """
        self._reader, self._selection, self._limit, self._check = reader, selection, limit, check
        self._is_at_limit = False
        self.rows_used = first
        """Rows handed out, or about to be, and those before the first."""
        self.end = first
        """Number after that of the last row that is used."""

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
        for rows in self._reader.steps():
            if self._check is not None and any(row.columns is not None for row in rows):
                self._check(rows)
                self._check = None
            used = self._selection.chosen(rows)
            if self._limit is not None and self.rows_used + len(used) >= self._limit:
                del used[self._limit - self.rows_used :]
                self._note(used)
                self._is_at_limit = True  # last: another thread may read it before it reads the number
                yield used
                return
            self._note(used)
            yield used

    def _note(self, used: Sequence[Row]) -> None:
        self.rows_used += len(used)
        if used:
            self.end = used[-1].number + 1
