"""Scores the rows of the results, batch by batch: by a target column, or by a function of the user."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson
import pyarrow as pa

from batchrun.answers.columns import AnswerColumns
from batchrun.answers.schema import AnswerSchema
from batchrun.answers.scores.labels import MOST_CLASSES, MOST_NUMBERS
from batchrun.answers.scores.scorers import NO_SCORE, FunctionScorer, Score, Scorer, scorer_for
from batchrun.errors import JobError
from batchrun.job.evaluate import SCORE, Evaluate
from batchrun.job.sections import Job
from batchrun.prompts.input.arrow import python_dicts, python_values
from batchrun.prompts.input.files import nearest
from batchrun.results.votes import voted_on

_READS_OBJECTS = "json_field"
"""The scorer that finds an object in the answer; with a schema, the object was found already."""

Objects = Sequence[Mapping[str, Any] | None] | None
"""The result of `AnswerSchema.read` for each row; None without a schema."""


class RowScorer(Protocol):
    """Scores consecutive rows."""

    def __call__(self, rows: pa.RecordBatch, objects: Objects) -> list[Score]:
        """Return the score of each row. `rows` has all columns of the results but the score."""
        ...

    @property
    def name(self) -> str:
        """What scores the rows, for people."""
        ...

    @property
    def most_labels(self) -> int:
        """With more different targets than these, the targets are not labels."""
        ...

    @property
    def notice(self) -> str | None:
        """A message about the scoring, if there is one."""
        ...

    @property
    def is_useless(self) -> bool:
        """Whether the message says that no score means anything."""
        ...


def scorer_of(evaluate: Evaluate) -> Scorer:
    """Return the scorer that a job names.

    Raises:
        JobError: its pattern or field is missing or cannot be used.
    """
    return scorer_for(evaluate.scorer, pattern=evaluate.pattern, field=evaluate.field)


def check_evaluation(job: Job) -> None:
    """Check what a job says about scores, before anything is sent.

    Raises:
        JobError: a scorer cannot be made, or a scorer or a vote reads a property that the schema of the answers does
            not have.
    """
    columns = None if job.response.schema is None else AnswerColumns(AnswerSchema(job.response.schema))
    for column, evaluate in job.evaluate.scored().items():
        try:
            _check_scorer(evaluate, job.response.schema)
        except JobError as problem:
            named = f"evaluate.scorers.{column.removeprefix(f'{SCORE}_')}."
            raise JobError(str(problem).replace("evaluate.", named, 1) if column != SCORE else str(problem)) from None
    if job.evaluate.vote is not None:
        voted_on(job.evaluate, columns)


def _check_scorer(evaluate: Evaluate, schema: dict[str, Any] | None) -> None:
    scorer_of(evaluate)
    if evaluate.scorer != _READS_OBJECTS or evaluate.field is None or schema is None or _is_open(schema):
        return
    known = list(AnswerSchema(schema).properties)
    if evaluate.field not in known and evaluate.field.split(".")[0] not in known:
        there = f"the schema has the properties {', '.join(known)}"
        raise JobError(f'evaluate.field = "{evaluate.field}"; {there}{nearest(evaluate.field, known)}')


def _is_open(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema says that answers may have more than its properties."""
    return bool(schema.get("additionalProperties")) or "patternProperties" in schema


class ByTarget:
    """Compares answers with the target column of the input."""

    def __init__(self, evaluate: Evaluate, target: str | None) -> None:
        """Prepare.

        Args:
            evaluate: names the scorer.
            target: name of the target column in the results; without it, no row gets a score.

        Raises:
            JobError: the scorer cannot be made.
        """
        self._scorer, self._target, self._evaluate = scorer_of(evaluate), target, evaluate
        self._reads_objects = evaluate.scorer == _READS_OBJECTS
        self._scored = self._found = 0

    def __call__(self, rows: pa.RecordBatch, objects: Objects) -> list[Score]:
        """Return the score of each row."""
        if self._target is None:
            return [NO_SCORE] * rows.num_rows
        answers = _answers(rows)
        if self._reads_objects and objects is not None:
            answers = [_text(each, answer) for each, answer in zip(objects, answers, strict=True)]
        scores = list(map(self._scorer, answers, python_values(rows.column(self._target))))
        scored = [score for score in scores if score.value is not None]
        self._scored += len(scored)
        self._found += sum(score.prediction is not None for score in scored)
        return scores

    @property
    def name(self) -> str:
        """The scorer with its setting, and the column that it compares with."""
        settings = {name: getattr(self._evaluate, name) for name in ("pattern", "field")}
        stated = ", ".join(f"{name} = {orjson.dumps(value).decode()}" for name, value in settings.items() if value)
        return f"{self._evaluate.scorer}{stated and f' ({stated})'}, compared with the column {self._evaluate.target}"

    @property
    def most_labels(self) -> int:
        """Fewer where numbers are compared: most of these are not labels."""
        return MOST_NUMBERS if self._evaluate.scorer == "number" else MOST_CLASSES

    @property
    def notice(self) -> str | None:
        """A message if no answer has the part that is compared."""
        wanted = {
            "number": "a number",
            "regex": f"what evaluate.pattern = {self._evaluate.pattern!r} finds",
            "json_field": f"evaluate.field = {self._evaluate.field!r}",
        }.get(self._evaluate.scorer)
        if wanted is None or self._found or not self._scored:
            return None
        return f"none of {self._scored:,} answer{'s' * (self._scored != 1)} has {wanted}, so each scores 0"

    @property
    def is_useless(self) -> bool:
        """Whether no answer has the part that the job names: the job is more likely wrong than every answer."""
        return self.notice is not None and bool(self._evaluate.pattern or self._evaluate.field)


def _answers(rows: pa.RecordBatch) -> list[str | None]:
    """Return the text of each answer: empty if a completed row has no text, None if the row failed."""
    both = zip(rows.column("status").to_pylist(), rows.column("response").to_pylist(), strict=True)
    return [response or "" if status == "completed" else None for status, response in both]


def _text(found: Mapping[str, Any] | None, answer: str | None) -> str | None:
    try:
        return answer if found is None else orjson.dumps(found).decode()
    except TypeError:  # orjson reads deeper nesting than it writes
        return answer


class ByFunction:
    """Scores each completed row with a user's function."""

    most_labels = MOST_CLASSES

    def __init__(self, scorer: FunctionScorer) -> None:
        self._scorer = scorer
        self._asked = 0

    def __call__(self, rows: pa.RecordBatch, objects: Objects) -> list[Score]:
        """Return the score of each row."""
        self._asked += rows.column("status").to_pylist().count("completed")
        return [self._scorer(row) if row["status"] == "completed" else NO_SCORE for row in python_dicts(rows)]

    @property
    def name(self) -> str:
        """The function."""
        return f"the function {self._scorer.name}"

    @property
    def notice(self) -> str | None:
        """The number of rows that the function could not score, with the first error."""
        errors = self._scorer.errors
        return f"rows without a score: {errors:,}, because {self._scorer.first_error}" if errors else None

    @property
    def is_useless(self) -> bool:
        """Whether the function has raised for every row."""
        return 0 < self._asked == self._scorer.errors
