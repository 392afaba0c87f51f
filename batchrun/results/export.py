"""Writes a run's results from its checkpoint; nothing is sent."""

from pathlib import Path
from typing import Any, NamedTuple

from batchrun.checkpoint.contents import left_out_text
from batchrun.checkpoint.file import damaged
from batchrun.checkpoint.reader import Checkpoint, Failures
from batchrun.errors import JobError
from batchrun.job.evaluate import SCORE
from batchrun.prompts.input.columns import InputColumns
from batchrun.records import AnswerSource, ModelTotals, summed
from batchrun.results.answers import AnswerReader
from batchrun.results.columns import LostAnswer
from batchrun.results.encodings import Encodings
from batchrun.results.openai_batch import write_batch_files
from batchrun.results.replace import Replacements, replacing_together, sweep
from batchrun.results.run_directory import RESULTS, USAGE, stored_job
from batchrun.results.run_json import save_scores
from batchrun.results.usage import usage_rows, write_usage
from batchrun.results.view import StoredRun, Table, View
from batchrun.results.writer import (
    AGREEMENT_KEY,
    ANSWERS_KEY,
    SCORER_KEY,
    SCORES_KEY,
    USAGE_KEY,
    write_parquet,
    write_results,
)

_MOST_WIDE = 1_000
"""Most models times samples in one row: tools that read the file cannot cope with more columns."""

_OTHER_SAMPLE = "an answer has the number of a sample that the job does not have; run the job again to put it right"


class Exported(NamedTuple):
    """What an export wrote and found."""

    paths: list[Path]
    """The files that were written."""
    notices: list[str]
    """Messages about the results."""
    parts: dict[AnswerSource, ModelTotals]
    """Totals of the run, by source; completed and failed are counted as in the results."""
    failures: list[Failures]
    scores: list[dict[str, Any]]
    """One entry per model and column of scores; empty when nothing is scored."""
    answers: list[dict[str, Any]]
    """What is to be known about the completed rows, one entry per model; empty if no table was written."""
    problem: str | None = None
    """Why no score means anything; None where scores do, and without scores."""
    agreement: dict[str, Any] | None = None
    """How far the answers agree; None where they do not vote."""
    lacks_input: bool = False
    """Whether the columns of the input are missing, since it could not be used."""


def export(directory: Path, view: View | None = None, *, sound_into: Path | None = None) -> Exported:
    """Write the results of a run from its checkpoint; without a view, results.parquet and usage.parquet.

    Reads the input again for its columns. If the input is gone or has other rows now, the results are written without
    these columns. Old files are replaced together, after the new ones are complete and their rows are counted.

    Args:
        directory: of the run.
        view: the default one unless given.
        sound_into: a folder that gets the table instead, without rows whose answers are damaged; a notice names them.

    Raises:
        JobError: the view does not fit this run.
        RunDirectoryError: there is no checkpoint, it cannot be read, or a file cannot be written.
    """
    sweep(directory)
    with Checkpoint(directory, skips_damaged=sound_into is not None) as checkpoint:
        run = _Run(directory, checkpoint, view or View())
        run.folder = sound_into or directory
        try:
            return run.write_batch_files() if run.view.format == "openai" else run.write_table()
        except LostAnswer as lost:
            raise damaged(checkpoint.path, "the answer of a completed row is not an answer") from lost


class _Run(StoredRun):
    """A run that is being exported."""

    folder: Path
    """Where the files are written."""

    def write_batch_files(self) -> Exported:
        """Write OpenAI's output and error files."""
        paths = [self.directory / name for name in self.view.names]
        reader, checkpoint = self.reader(), self.checkpoint
        encodings = Encodings(self.job, self.directory, self.checkpoint, self.notices.append)
        with (
            replacing_together() as files,
            files.writing(paths[0]) as output,
            files.writing(paths[1]) as errors,
        ):
            outcomes, around = checkpoint.columns(), checkpoint.around
            written = write_batch_files(output, errors, outcomes, reader, around, asks_base64=encodings.asks_base64)
            self._check_rows(sum(written))
        return self._exported(paths, reader, [], None, [])

    def write_table(self) -> Exported:
        """Write the rows as a table, in the view's shape and format, and the files that belong to it."""
        paths = [self.folder / name for name in self.view.names]
        asked = self._asked() if self.view.is_wide else []
        with replacing_together() as files:
            table = self.with_input(lambda columns: self._write(files, paths[0], columns, asked))
            self._check_rows(table.results.rows + table.results.dropped + len(self.checkpoint.left_out))
            scores, agreement = table.evaluated.table(), table.evaluated.agreement
            if paths[0] == self.directory / RESULTS:
                with files.writing(self.directory / USAGE) as usage:
                    write_usage(usage, [row for row in self._usage(table.reader) if row["model"]])
                save_scores(files, self.directory, scores, agreement)
        self._note(table)
        found = (scores, agreement, table.results.answers.table())
        return self._exported(paths, table.reader, *found)

    def _write(
        self, files: Replacements, path: Path, columns: InputColumns | None, asked: list[tuple[str, int]]
    ) -> Table:
        # Few exports need these, and they are slow to import.
        from batchrun.results.text_files import write_csv, write_jsonl
        from batchrun.results.wide import Wide

        table = self.table(columns)
        schema, batches = table.results.schema, table.results.batches()
        plain: list[str] = []
        if asked:
            wide = Wide(schema, asked)
            schema, batches, plain = wide.schema, wide.batches(batches), wide.plain
        with files.writing(path) as temporary:
            if self.view.format == "jsonl":
                write_jsonl(temporary, batches)
            elif self.view.format == "csv":
                write_csv(temporary, schema, batches)
            elif asked:
                write_parquet(temporary, schema, batches, plain=plain)
            else:
                write_results(temporary, table.results, lambda: self._footer(table))
        return table

    def _note(self, table: Table) -> None:
        if table.results.dropped:
            self.notices.append(f"answers whose rows the input no longer has are left out: {table.results.dropped:,}")
        if self.job is not None and self.checkpoint.last_sample >= self.job.model.num_samples:
            self.notices.append(_OTHER_SAMPLE)
        if self.checkpoint.left_out:
            self.notices.append(left_out_text(self.checkpoint.left_out, self.directory))
        self.notices += table.evaluated.notices
        for scoring in table.evaluated.scorings:
            notice, is_main = scoring.scorer.notice, scoring.column == SCORE
            if notice is not None and is_main and self.is_useless(scoring.scorer):
                cure = "fix the scorer and run the same command again: the answers stay, nothing is sent"
                self.problem = f"{notice}; {cure}"
            elif notice is not None:
                self.notices.append(notice if is_main else f"{scoring.column}: {notice}")

    def _asked(self) -> list[tuple[str, int]]:
        """Return the models and samples that get columns in one row."""
        job = stored_job(self.checkpoint)
        asked = [(model, sample) for model in self.totals if model for sample in range(job.model.num_samples)]
        if not asked:
            raise JobError("--wide: no row is settled yet, so there are no columns to write; try again later")
        if len(asked) > _MOST_WIDE:
            raise JobError(
                f"--wide: each prompt has {len(asked):,} answers; at most {_MOST_WIDE:,} fit into one row. "
                "Export without --wide"
            )
        return asked

    def _check_rows(self, rows: int) -> None:
        expected = summed(self.totals.values()).requests
        if rows != expected:
            raise damaged(self.checkpoint.path, f"holds {rows:,} settled rows where it should be {expected:,}")

    def _footer(self, table: Table) -> dict[str, Any]:
        evaluated = table.evaluated
        scores = {SCORES_KEY: evaluated.table(), SCORER_KEY: evaluated.name} if evaluated.scorings else {}
        agreement = {} if evaluated.agreement is None else {AGREEMENT_KEY: evaluated.agreement}
        answers = {ANSWERS_KEY: table.results.answers.table()}
        return {USAGE_KEY: self._usage(table.reader), **answers, **scores, **agreement}

    def _judged(self, reader: AnswerReader) -> dict[AnswerSource, ModelTotals]:
        """Return the totals, with completed and failed counted as the answers were read."""
        return {
            source: sums._replace(
                completed=sums.completed + reader.gained[source], failed=sums.failed - reader.gained[source]
            )
            for source, sums in self.parts.items()
        }

    def _usage(self, reader: AnswerReader) -> list[dict[str, Any]]:
        """Return the rows of usage.parquet, counted likewise, and those of broken rows."""
        return usage_rows(self._judged(reader), self.prices, self.only_endpoint)

    def _failures(self, reader: AnswerReader) -> list[Failures]:
        found = {each.kind: each for each in self.checkpoint.failures()}
        for kind in {*reader.failures, *reader.examples}:
            before = found.pop(kind, Failures(kind, 0, None))
            if rows := before.rows + reader.failures[kind]:
                found[kind] = Failures(kind, rows, reader.examples.get(kind, before.example))
        return sorted(found.values(), key=lambda each: -each.rows)

    def _exported(
        self,
        paths: list[Path],
        reader: AnswerReader,
        scores: list[dict[str, Any]],
        agreement: dict[str, Any] | None,
        answers: list[dict[str, Any]],
    ) -> Exported:
        if gained := reader.gained.total():
            status = "completed" if gained > 0 else "failed"
            rows = "1 more row is" if abs(gained) == 1 else f"{abs(gained):,} more rows are"
            self.notices.append(f"{rows} {status} than in the run: answers were read by another schema")
        failures = self._failures(reader)
        parts = self._judged(reader)
        found = (self.problem, agreement, self.lacks_input)
        return Exported(paths, self.notices, parts, failures, scores, answers, *found)
