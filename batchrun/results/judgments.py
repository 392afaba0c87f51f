"""Reads what the judge of a run gave, and puts it next to the answers in the results."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.answers.columns import AnswerColumns
from batchrun.answers.schema import AnswerSchema
from batchrun.answers.scores.labels import MOST_CLASSES
from batchrun.answers.scores.scorers import NO_SCORE, Score
from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import RunDirectoryError
from batchrun.job.judging import JUDGE, JUDGED, judge_job
from batchrun.job.sections import Job
from batchrun.prompts.input.arrow import python_values
from batchrun.results.columns import JUDGE_LABEL, JUDGE_REASON, Column
from batchrun.results.identity import changed_settings
from batchrun.results.row_groups import batches_of
from batchrun.results.row_scorers import Objects
from batchrun.results.run_directory import RESULTS

_BATCH_ROWS = 4_096

_Key = tuple[int, str, int]


class Judgment(NamedTuple):
    """What the judge says about one answer."""

    at: Any
    """When the answer was settled that it judged."""
    given: Any
    """The score or the label."""
    reason: str | None


class Judgments:
    """Scores rows by the judgments in RUN/judge; for one pass over the results, in their order.

    A judgment counts only for the very answer that was judged: a row that was answered again since has none.
    """

    most_labels = MOST_CLASSES
    notice = None
    is_useless = False

    def __init__(self, directory: Path, job: Job) -> None:
        """Open the judgments; without them, and with those of another judge, no row has a score.

        Args:
            directory: of the run.
            job: its judge says how a label becomes a score.
        """
        self._judge = job.judge
        self._folder, self._asked = directory / JUDGE, judge_job(job)
        self._waiting: dict[_Key, Judgment] = {}
        self._ahead = self._read()
        self._reached = -1
        self._last: list[Judgment | None] = []

    @property
    def name(self) -> str:
        """The judge, for people."""
        return f"the model {self._judge.model}"

    @property
    def columns(self) -> list[Column]:
        """What it adds next to the score."""
        return [JUDGE_LABEL, JUDGE_REASON]

    def __call__(self, rows: pa.RecordBatch, objects: Objects) -> list[Score]:
        """Return the score of each row."""
        keys = zip(*(rows.column(name).to_pylist() for name in ("row", "model", "sample")), strict=True)
        moments = python_values(rows.column("finished_at"))
        self._last = [self._of(key, at) for key, at in zip(keys, moments, strict=True)]
        return [NO_SCORE if each is None else Score(self._judge.value_of(each.given)) for each in self._last]

    def arrays(self) -> list[pa.Array]:
        """Return the values of `columns` for the rows that were scored last."""
        labels = [None if each is None or not isinstance(each.given, str) else each.given for each in self._last]
        reasons = [None if each is None else each.reason for each in self._last]
        return [pa.array(values, pa.string()) for values in (labels, reasons)]

    def _of(self, key: _Key, at: Any) -> Judgment | None:
        """Return the judgment of one row; rows come in ascending order."""
        row = key[0]
        if row > self._reached:
            self._waiting = {known: each for known, each in self._waiting.items() if known[0] >= row}
            self._reached = row
        while self._ahead_row is not None and self._ahead_row <= row:
            self._next()
        found = self._waiting.get(key)
        return found if found is not None and found.at == at else None

    _ahead_row: int | None = 0
    """Row of the last judgment that was read; None at the end."""

    def _next(self) -> None:
        entry = next(self._ahead, None)
        if entry is None:
            self._ahead_row = None
            return
        key, judgment = entry
        self._ahead_row = key[0]
        self._waiting[key] = judgment

    def _read(self) -> Iterator[tuple[_Key, Judgment]]:
        """Yield the judgments; nothing where there are none that can be read."""
        with suppress(OSError, pa.ArrowException):
            if not ((self._folder / RESULTS).exists() and self._is_of_this_judge()):
                return
            with pq.ParquetFile(self._folder / RESULTS) as file:
                given, reason = self._names(file.schema_arrow)
                names = [*JUDGED, "status", *(name for name in (given, reason) if name is not None)]
                for batch in batches_of(file, _BATCH_ROWS, columns=names):
                    values = {name: python_values(batch.column(name)) for name in batch.schema.names}
                    for place in range(batch.num_rows):
                        if values["status"][place] != "completed":
                            continue
                        row, model, sample, at = (values[name][place] for name in JUDGED)
                        because = None if reason is None else values[reason][place]
                        judgment = Judgment(at, given and values[given][place], _text(because))
                        yield (row, model, sample), judgment

    def _is_of_this_judge(self) -> bool:
        """Return whether the judgments are those of the job's judge, and not of the one before it."""
        with suppress(RunDirectoryError), Checkpoint(self._folder) as checkpoint:
            return checkpoint.fact(facts.JOB) is not None and not changed_settings(checkpoint, self._asked)
        return False

    def _names(self, schema: pa.Schema) -> tuple[str | None, str | None]:
        """Return the columns of the score and of the reason; None for one that the judgments do not have."""
        properties = list(AnswerColumns(AnswerSchema(self._judge.answer_schema)).fields())
        return tuple(  # type: ignore[return-value]  # two
            next((name for name in (wanted, f"response_{wanted}") if name in schema.names), None)
            if any(each.name == wanted for each in properties)
            else None
            for wanted in (self._judge.score_property, self._judge.reason)
        )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
