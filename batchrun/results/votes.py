"""Has the answers to each prompt vote, and finds how far they agree over the whole run."""

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa

from batchrun.answers.columns import AnswerColumns
from batchrun.answers.scores.agreement import IntervalAlpha, NominalAlpha, Vote, vote_of
from batchrun.errors import JobError
from batchrun.job.evaluate import PREDICTION, Evaluate
from batchrun.prompts.input.arrow import python_values
from batchrun.prompts.input.files import nearest
from batchrun.results.columns import AFTER_ANSWER, BEFORE_ANSWER, VOTE_SHARE, Column, vote_column
from batchrun.results.whole_prompts import whole_prompts

_RESPONSE = "response"

_LONGEST_LABEL = 100
"""Most characters of a label that is kept; of longer ones a hash is counted."""

_WITHOUT_PREDICTION = "contains"
"""The scorer that only looks whether the target is there."""


class Voted(NamedTuple):
    """What the answers vote on."""

    setting: str
    """As the job names it."""
    place: int | None
    """Of the property among the columns of the answer; None if it is not a property."""
    type: pa.DataType
    """Of the labels."""

    @property
    def is_prediction(self) -> bool:
        """Whether it is what the scorer finds."""
        return self.place is None and self.setting == PREDICTION

    def column_in(self, schema: pa.Schema) -> str:
        """Return the column of the results that holds the labels."""
        if self.place is None:
            return self.setting
        names: list[str] = schema.names
        return names[names.index(BEFORE_ANSWER[-1].name) + 1 : names.index(AFTER_ANSWER[0].name)][self.place]


def voted_on(evaluate: Evaluate, answers: AnswerColumns | None) -> Voted | None:
    """Return what the answers vote on; None if they do not vote.

    Args:
        evaluate: the settings.
        answers: the columns of the answers; None without a schema.

    Raises:
        JobError: the answers have no such property, or it is not a label.
    """
    if (name := evaluate.vote) is None:
        return None
    fields = {} if answers is None else {field.name: field for field in answers.fields()}
    if name in fields:
        kind = fields[name].type
        if pa.types.is_nested(kind):
            raise JobError(f'evaluate.vote = "{name}"; is a list or an object; must be a text, a number or true/false')
        return Voted(name, list(fields).index(name), kind.value_type if pa.types.is_dictionary(kind) else kind)
    if name == _RESPONSE:
        return Voted(name, None, pa.string())
    known = [*fields, _RESPONSE, PREDICTION]
    if name != PREDICTION:
        there = f"must be {', '.join(fields)}, response or prediction" if fields else _NEEDS_SCHEMA
        raise JobError(f'evaluate.vote = "{name}"; {there}{nearest(name, known)}')
    if evaluate.target is None or evaluate.scorer == _WITHOUT_PREDICTION:
        needs = "needs evaluate.target and a scorer that finds a text: exact, number, regex or json_field"
        raise JobError(f'evaluate.vote = "{PREDICTION}"; {needs}')
    return Voted(name, None, pa.string())


_NEEDS_SCHEMA = "must be response or prediction; a property needs response.schema"


class Voting:
    """Adds the majority label of each prompt, and its share, to all rows of the prompt."""

    def __init__(self, voted: Voted) -> None:
        self._voted = voted
        kind = voted.type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        self._alpha: NominalAlpha | IntervalAlpha = IntervalAlpha() if is_number else NominalAlpha()
        self._column = voted.setting
        self._answers = self._prompts = self._unanimous = self._tied = 0

    @property
    def columns(self) -> list[Column]:
        """The columns that it adds."""
        return [vote_column(self._voted.type), VOTE_SHARE]

    def extended(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows with these columns at their end; the last prompt is held back until it is whole.

        Args:
            batches: of the results, in their order, without these columns.
            schema: with them.
        """
        name = self._column = self._voted.column_in(schema)
        for table in whole_prompts(batches):
            labels = self._labels(table, name)
            votes: list[Vote] = []
            start = 0
            for _, its in groupby(table["row"].to_pylist()):
                stop = start + sum(1 for _ in its)
                votes += [self._vote([each for each in labels[start:stop] if each is not None])] * (stop - start)
                start = stop
            added = [
                pa.array([each.label for each in votes], self._voted.type),
                pa.array([each.share for each in votes], VOTE_SHARE.type),
            ]
            yield from pa.Table.from_arrays([*table.columns, *added], schema=schema).to_batches()

    def _labels(self, table: pa.Table, name: str) -> list[Any]:
        """Return the label of each row; None where the row failed or has none."""
        values = python_values(table[name])
        rows = zip(table["status"].to_pylist(), values, strict=True)
        labels = [value if status == "completed" else None for status, value in rows]
        return [(each.strip() or None) if isinstance(each, str) else each for each in labels]

    def _vote(self, labels: list[Any]) -> Vote:
        vote = vote_of(labels)
        if len(labels) > 1:
            self._answers += len(labels)
            self._prompts += 1
            self._unanimous += vote.share == 1
            self._tied += vote.label is None
            self._alpha.add(_countable(labels))
        return vote

    def table(self) -> dict[str, Any]:
        """Return how far the answers agree, as JSON can hold it."""
        return {
            "vote": self._voted.setting,
            "column": self._column,
            "metric": self._alpha.metric,
            "alpha": self._alpha.alpha,
            "prompts": self._prompts,
            "answers": self._answers,
            "unanimous": self._unanimous,
            "tied": self._tied,
        }


def _countable(labels: Sequence[Hashable]) -> list[Any]:
    """Return labels of bounded size, equal where these are."""
    return [
        hashlib.blake2b(each.encode(), digest_size=16).digest()
        if isinstance(each, str) and len(each) > _LONGEST_LABEL
        else each
        for each in labels
    ]
