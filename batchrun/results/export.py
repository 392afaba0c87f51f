"""From a checkpoint to everything that can be made of it: nothing is sent, nothing costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from batchrun.answers.schema import AnswerSchema
from batchrun.answers.scores.scorers import FunctionScorer, NamedFunction
from batchrun.checkpoint.file import damaged
from batchrun.checkpoint.reader import Checkpoint, Failures
from batchrun.errors import InputError, JobError
from batchrun.job.catalogue import PriceLike, prices_of
from batchrun.job.sections import Job
from batchrun.prompts.input.columns import InputColumns, LateSchema
from batchrun.records import ModelTotals, summed
from batchrun.results.answers import INVALID, AnswerReader
from batchrun.results.columns import LostAnswer, input_name
from batchrun.results.openai_batch import write_batch_files
from batchrun.results.run_directory import StoredInput, is_jobless, stored_input, stored_job
from batchrun.results.scores import FunctionJudge, Judge, Scoring, TargetJudge
from batchrun.results.summary import RESULTS, USAGE, save_scores
from batchrun.results.table import Results
from batchrun.results.usage import usage_rows, write_usage
from batchrun.results.writer import SCORES_KEY, USAGE_KEY, write_parquet, write_results

FORMATS = ("parquet", "jsonl", "csv", "openai")

_MOST_WIDE = 1_000
"""Models times samples, at most, that stand side by side: with more, what reads the file holds more than a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How the results are to be shown."""

    format: str = "parquet"
    """One of `FORMATS`."""
    is_wide: bool = False
    """One row a prompt, instead of one a request."""
    schema: AnswerSchema | None = None
    """Reads the answers in place of the job's own."""
    is_schemaless: bool = False
    """The answers are read without any schema."""
    scorer: NamedFunction | None = None
    """Scores the rows in place of the job's own scorer."""

    @property
    def names(self) -> list[str]:
        """The files that are written."""
        if self.format == "openai":
            return [f"{name}.openai.jsonl" for name in ("results", "errors")]
        name = f"results{'.wide' if self.is_wide else ''}.{self.format}"
        return [RESULTS, USAGE] if name == RESULTS else [name]


class Exported(NamedTuple):
    """What an export made, and found on its way."""

    paths: list[Path]
    """What was written."""
    notices: list[str]
    """What people should know about the results."""
    totals: dict[str, ModelTotals]
    """Of the run; completed and failed as the results have them."""
    failures: list[Failures]
    scores: list[dict[str, Any]]
    """What the scores add up to, one entry a model; empty without any."""


def export(directory: Path, view: View | None = None) -> Exported:
    """Write what a view asks for from the checkpoint: results.parquet and usage.parquet, unless it says otherwise.

    Reads the input again for its columns. Where it is gone, or has other rows now, the answers are written alone.

    Raises:
        JobError: what the view asks for cannot be made of this run.
        RunDirectoryError: there is no checkpoint, it cannot be read, or a file cannot be written.
    """
    with Checkpoint(directory) as checkpoint:
        run = _Run(directory, checkpoint, view or View())
        try:
            return run.write_batch_files() if run.view.format == "openai" else run.write_table()
        except LostAnswer as lost:
            raise damaged(checkpoint.path, "the answer of a completed row is no chat completion") from lost


class _Table(NamedTuple):
    """The rows of the results, and what watches them pass. For one pass: they count."""

    results: Results
    reader: AnswerReader
    scoring: Scoring | None


class _Run:
    """A run that is being exported."""

    def __init__(self, directory: Path, checkpoint: Checkpoint, view: View) -> None:
        self.directory, self.checkpoint, self.view = directory, checkpoint, view
        self.totals = checkpoint.totals()
        self.job: Job | None = None if is_jobless(checkpoint) else stored_job(checkpoint)
        self.prices: Mapping[str, PriceLike | None] = (
            dict.fromkeys(self.totals) if self.job is None else prices_of(self.job, self.totals)
        )
        self.target = None if self.job is None else self.job.evaluate.target
        self.notices: list[str] = []

    def write_batch_files(self) -> Exported:
        """Write OpenAI's output and error files."""
        paths = [self.directory / name for name in self.view.names]
        reader = self._reader()
        self._check(sum(write_batch_files(paths[0], paths[1], self.checkpoint.columns(), reader)))
        return self._exported(paths, reader, [])

    def write_table(self) -> Exported:
        """Write the rows as a table, in the view's shape and format."""
        paths = [self.directory / name for name in self.view.names]
        asked = self._asked() if self.view.is_wide else []
        table = self._write_beside(lambda columns: self._write(paths[0], columns, asked))
        self._check(table.results.rows + table.results.dropped)
        scores = [] if table.scoring is None else table.scoring.table()
        if paths[0].name == RESULTS:
            totals = self._judged(table.reader)
            write_usage(self.directory / USAGE, {model: sums for model, sums in totals.items() if model}, self.prices)
            save_scores(self.directory, scores)
        if table.results.textless:
            cut_off = f"{table.results.textless:,} completed rows have no text: their answers were cut off"
            self.notices.append(f"{cut_off}; raise max_tokens, for a reasoning model thinks first")
        if table.results.dropped:
            self.notices.append(f"{table.results.dropped:,} answers are left out: the input no longer has their rows")
        if table.scoring is not None and (notice := table.scoring.judge.notice):
            self.notices.append(notice)
        return self._exported(paths, table.reader, scores)

    def _write(self, path: Path, columns: InputColumns | None, asked: list[tuple[str, int]]) -> _Table:
        # What few exports need, and is slow to import.
        from batchrun.results.text_files import write_csv, write_jsonl
        from batchrun.results.wide import Wide

        table = self._table(columns)
        schema, batches = table.results.schema, table.results.batches()
        plain: list[str] = []
        if asked:
            wide = Wide(schema, asked)
            schema, batches, plain = wide.schema, wide.batches(batches), wide.plain
        if self.view.format == "jsonl":
            write_jsonl(path, batches)
        elif self.view.format == "csv":
            write_csv(path, schema, batches)
        elif asked:
            write_parquet(path, schema, batches, plain=plain)
        else:
            write_results(path, table.results, lambda: self._footer(table))
        return table

    def _table(self, columns: InputColumns | None) -> _Table:
        """Return the rows of the results, beside these columns of the input."""
        inputs: pa.Schema | None = None if columns is None else columns.schema
        target = None if self.target is None or inputs is None else input_name(inputs, self.target)
        scoring = self._scoring(target)
        keep = None if self.job is None else self.job.output.keep
        reader = self._reader()
        results = Results(
            self.checkpoint.columns(),
            columns,
            self.prices,
            reader=reader,
            scoring=scoring,
            hidden=target if keep is not None and self.target not in keep else None,
        )
        return _Table(results, reader, scoring)

    def _scoring(self, target: str | None) -> Scoring | None:
        judge: Judge
        if self.view.scorer is not None:
            judge = FunctionJudge(FunctionScorer(self.view.scorer.function, self.view.scorer.name))
        elif self.job is None or self.target is None:
            return None
        else:
            judge = TargetJudge(self.job.evaluate, target)
        return Scoring(judge, 1 if self.job is None else self.job.model.num_samples)

    def _reader(self) -> AnswerReader:
        if self.view.schema is not None or self.view.is_schemaless:
            return AnswerReader(self.view.schema)
        schema = None if self.job is None else self.job.response.schema
        return AnswerReader(None if schema is None else AnswerSchema(schema))

    def _asked(self) -> list[tuple[str, int]]:
        """Return the models and samples that stand side by side."""
        job = stored_job(self.checkpoint)
        asked = [(model, sample) for model in self.totals if model for sample in range(job.model.num_samples)]
        if not asked:
            raise JobError("--wide: nothing is settled yet, so there is nothing to put side by side; look again later")
        if len(asked) > _MOST_WIDE:
            raise JobError(
                f"--wide: there are {len(asked):,} answers to a prompt; at most {_MOST_WIDE:,} stand side by side"
            )
        return asked

    def _write_beside(self, write: Callable[[InputColumns | None], _Table]) -> _Table:
        """Write with the input's columns: with the types that its first rows have, else with those of all."""
        inputs = self._input()
        if inputs is None:
            return write(None)
        try:
            try:
                return write(inputs.columns(is_quick=True))
            except LateSchema:
                return write(inputs.columns(is_quick=False))
        except InputError as problem:  # what was found of the input before does not hold: the answers do
            self._tell_without(f"{problem}; make them again: batchrun export")
            return write(None)

    def _input(self) -> StoredInput | None:
        """Return the input whose columns stand beside the answers; None, and a notice, where they cannot."""
        if self.job is None:
            self.notices.append(
                "the results are without the input's columns and without costs, until the job runs again"
            )
            return None
        try:
            return stored_input(self.job, self.directory, self.checkpoint, beside=self.target)
        except (InputError, JobError) as problem:
            self._tell_without(str(problem))
            return None

    def _tell_without(self, why: str) -> None:
        is_judged = self.target is not None and self.view.scorer is None
        what = "the input's columns, and so without scores" if is_judged else "the input's columns"
        self.notices.append(f"the results are without {what}: {why}")

    def _check(self, settled: int) -> None:
        counted = summed(self.totals.values()).requests
        if settled != counted:
            raise damaged(self.checkpoint.path, f"holds {settled:,} settled rows where it should be {counted:,}")

    def _footer(self, table: _Table) -> dict[str, Any]:
        scores = {} if table.scoring is None else {SCORES_KEY: table.scoring.table()}
        return {USAGE_KEY: usage_rows(self._judged(table.reader), self.prices), **scores}

    def _judged(self, reader: AnswerReader) -> dict[str, ModelTotals]:
        """Return the totals with completed and failed as the answers were read."""
        return {
            model: sums._replace(
                completed=sums.completed + reader.gained[model], failed=sums.failed - reader.gained[model]
            )
            for model, sums in self.totals.items()
        }

    def _failures(self, reader: AnswerReader) -> list[Failures]:
        found = {each.kind: each for each in self.checkpoint.failures()}
        invalid = found.pop(INVALID, Failures(INVALID, 0, None))
        rows = invalid.rows - reader.gained.total()
        if rows:
            found[INVALID] = Failures(INVALID, rows, reader.example or invalid.example)
        return sorted(found.values(), key=lambda each: -each.rows)

    def _exported(self, paths: list[Path], reader: AnswerReader, scores: list[dict[str, Any]]) -> Exported:
        if gained := reader.gained.total():
            how = "more rows are completed" if gained > 0 else "more rows are failed"
            self.notices.append(f"{abs(gained):,} {how} than when they were answered: they are read by another schema")
        return Exported(paths, self.notices, self._judged(reader), self._failures(reader), scores)
