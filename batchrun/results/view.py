"""How the rows of a run are read from its checkpoint: by which schema and scorer, with which columns of the input."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa

from batchrun.answers.data_columns import NO_TYPES, LateColumns, Types, column_types, types_without_answers
from batchrun.answers.envelope import parse_completion
from batchrun.answers.equal_vectors import equal_columns
from batchrun.answers.logprobs import has_logprobs
from batchrun.answers.schema import AnswerSchema
from batchrun.answers.scores.scorers import NamedFunction
from batchrun.answers.shared_vectors import SharedBodies
from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError, JobError
from batchrun.job.evaluate import Evaluate
from batchrun.job.judge import Judge
from batchrun.job.sections import Job
from batchrun.prompts.input.columns import InputColumns, LateSchema
from batchrun.records import OutcomeColumns
from batchrun.results.answers import AnswerReader
from batchrun.results.columns import OptionalColumns
from batchrun.results.endpoints import only_endpoint
from batchrun.results.evaluated import Evaluated, evaluated_by
from batchrun.results.judgments import Judgments
from batchrun.results.prices import prices_in
from batchrun.results.row_scorers import ByFunction, RowScorer
from batchrun.results.run_directory import RESULTS, USAGE, StoredInput, is_jobless, stored_input, stored_job
from batchrun.results.table import Results

FORMATS = ("parquet", "jsonl", "csv", "openai")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which results to write, and how."""

    format: str = "parquet"
    """One of `FORMATS`."""
    is_wide: bool = False
    """One row per prompt instead of one per request."""
    schema: AnswerSchema | None = None
    """Read the answers by this schema instead of the job's."""
    is_schemaless: bool = False
    """Read the answers without a schema."""
    scorer: NamedFunction | None = None
    """Score the rows with this function instead of the job's scorer."""

    @property
    def names(self) -> list[str]:
        """Names of the files to write."""
        if self.format == "openai":
            return [f"{name}.openai.jsonl" for name in ("results", "errors")]
        name = f"results{'.wide' if self.is_wide else ''}.{self.format}"
        return [RESULTS, USAGE] if name == RESULTS else [name]


class Table(NamedTuple):
    """The rows of the results with their reader and scores, which count the rows as they pass: for one pass."""

    results: Results
    reader: AnswerReader
    evaluated: Evaluated


class StoredRun:
    """A run whose rows are read in a view."""

    def __init__(self, directory: Path, checkpoint: Checkpoint, view: View) -> None:
        self.directory, self.checkpoint, self.view = directory, checkpoint, view
        self.totals, self.parts = checkpoint.totals(), checkpoint.parts()
        self.job: Job | None = None if is_jobless(checkpoint) else stored_job(checkpoint)
        self.prices = prices_in(checkpoint, self.job)
        self.only_endpoint = only_endpoint(checkpoint)
        self.evaluate = Evaluate() if self.job is None else self.job.evaluate
        self._data: Types | None = None  # the columns of answers that are not texts, as far as answers have shown them
        self.notices: list[str] = []
        """Messages about the results."""
        self.problem: str | None = None
        """Why no score means anything."""
        self.lacks_input = False
        """Whether the columns of the input are missing in the results, since it could not be used."""

    def be_plain(self) -> None:
        """Read all columns of the input from now on, and evaluate nothing."""
        self.evaluate = Evaluate()
        if self.job is not None:
            output = replace(self.job.output, keep=None)
            self.job = replace(self.job, output=output, evaluate=self.evaluate, judge=Judge())

    def is_useless(self, scorer: RowScorer) -> bool:
        """Return whether a scorer's scores mean nothing. Simulated answers may lack what a model's would have."""
        return scorer.is_useless and (isinstance(scorer, ByFunction) or not self.checkpoint.fact(facts.SIMULATED))

    def table(self, columns: InputColumns | None, outcomes: Iterable[OutcomeColumns] | None = None) -> Table:
        """Return the rows of the results.

        Args:
            columns: of the input.
            outcomes: of these rows; all unless given.
        """
        inputs: pa.Schema | None = None if columns is None else columns.schema
        reader = self.reader()
        evaluated = evaluated_by(
            self.evaluate,
            inputs,
            reader.columns,
            samples=1 if self.job is None else self.job.model.num_samples,
            function=self.view.scorer,
            judgments=self._judgments(),
        )
        keep = None if self.job is None else self.job.output.keep
        results = Results(
            self.checkpoint.columns() if outcomes is None else outcomes,
            columns,
            self.prices,
            reader=reader,
            evaluated=evaluated,
            hidden=[] if keep is None else [there for name, there in evaluated.reads.items() if name not in keep],
            optional=OptionalColumns(self._has_logprobs(inputs), self._data_types()),
            only_endpoint=self.only_endpoint,
        )
        return Table(results, reader, evaluated)

    def with_input(self, read: Callable[[InputColumns | None], T]) -> T:
        """Read with the input's columns: typed by its first rows, or by all rows where these types do not fit.

        Where the input cannot be used, `read` gets None, and a notice says why.
        """
        inputs = self._input()
        if inputs is None:
            return self._with_data(lambda: read(None))
        try:
            try:
                return self._with_data(lambda: read(inputs.columns(is_quick=True)))
            except LateSchema:
                return self._with_data(lambda: read(inputs.columns(is_quick=False)))
        except InputError as problem:  # the input has changed since it was found; the answers are still right
            self._note_missing_input(f"{problem}; write them again: batchrun export {self.directory}")
            return self._with_data(lambda: read(None))

    def _with_data(self, read: Callable[[], T]) -> T:
        """Read; once more with the columns that a late answer needs."""
        while True:
            try:
                return read()
            except LateColumns as late:  # each adds a column, or makes one wider: it ends
                self._data = late.types

    def _data_types(self) -> Types:
        """Return the columns of answers that are not texts: of the first answers until a later one has others."""
        if self._data is None:
            first = next(self.checkpoint.columns(), None)
            self._data = NO_TYPES if first is None else _types_in(first["body"])
            if self.job is not None and not any(sums.completed for sums in self.totals.values()):
                self._data = types_without_answers(self.job.model.kind)
        return self._data

    def reader(self) -> AnswerReader:
        """Return what reads the answers."""
        if self.view.schema is not None or self.view.is_schemaless:
            return AnswerReader(self.view.schema)
        schema = None if self.job is None else self.job.response.schema
        return AnswerReader(None if schema is None else AnswerSchema(schema))

    def _has_logprobs(self, inputs: pa.Schema | None) -> bool:
        """Return whether the job asks for log probabilities, or its rows do: by their columns, or the first answers."""
        if self.job is not None and self.job.model.parameters().get("logprobs"):
            return True
        stated = [field.type for field in inputs or () if field.name in ("params", "body")]
        if any(pa.types.is_struct(kind) and kind.get_field_index("logprobs") >= 0 for kind in stated):
            return True
        first = next(self.checkpoint.columns(), None)
        return first is not None and not isinstance(first["body"], SharedBodies) and has_logprobs(first["body"])

    def _judgments(self) -> Judgments | None:
        if self.job is None or self.job.judge.model is None:
            return None
        return Judgments(self.directory, self.job)

    def _input(self) -> StoredInput | None:
        """Return the input whose columns the results get; None, with a notice, when it cannot be used."""
        if self.job is None:
            self.notices.append("the results have no input columns and no costs until the job runs again")
            return None
        try:
            return stored_input(
                self.job, self.directory, self.checkpoint, also=[name for _, name in self.evaluate.reads]
            )
        except (InputError, JobError) as problem:
            self._note_missing_input(str(problem))
            return None

    def _note_missing_input(self, why: str) -> None:
        self.lacks_input = True
        is_judged = bool(self.evaluate.scored()) and self.view.scorer is None
        missing = "the input's columns and without scores" if is_judged else "the input's columns"
        self.notices.append(f"the results are without {missing}: {why}")


def _types_in(bodies: Sequence[bytes | None]) -> Types:
    """Return the columns of answers that are not texts."""
    if isinstance(bodies, SharedBodies) and (columns := equal_columns(bodies)) is not None:
        return column_types(columns["data"], NO_TYPES)
    others = [each for each in bodies if each and b'"choices"' not in each]
    return column_types((parse_completion(each).data for each in others), NO_TYPES)
