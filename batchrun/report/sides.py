"""One side of a comparison: the answers of one model in one run, prompt by prompt."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.answers.scores.agreement import vote_of
from batchrun.answers.scores.scorers import target_text
from batchrun.prompts.input.arrow import python_values
from batchrun.results.columns import AFTER_ANSWER, BEFORE_ANSWER, BEFORE_INPUT, PREDICTION
from batchrun.results.row_groups import batches_of
from batchrun.results.whole_prompts import whole_prompts

_BATCH_ROWS = 8_192

_RESPONSE = "response"


class Side(NamedTuple):
    """The answers of one model in one run."""

    directory: Path
    results: Path
    """Its results.parquet."""
    model: str

    @property
    def schema(self) -> pa.Schema:
        """The columns of its results."""
        return pq.read_schema(self.results)


class Compared(NamedTuple):
    """The columns that both sides have and that are compared."""

    scores: list[str]
    labels: list[str]
    """Plain properties of the answers, or what a scorer found; else the whole text."""
    inputs: list[str]
    """Columns of the input, which should be the same on both sides."""
    numbers: frozenset[str] = frozenset()
    """Labels that are numbers: those that are close differ less."""

    @property
    def are_free_texts(self) -> bool:
        """Whether only whole texts can be compared, which are rarely the same."""
        return self.labels == [_RESPONSE]


class PromptAnswers(NamedTuple):
    """What the completed answers to one prompt say."""

    row: int
    custom_id: str
    scores: tuple[float | None, ...]
    """Mean of each column of scores."""
    labels: tuple[Hashable | None, ...]
    """Majority in each column of labels; None where two tie."""
    text: str | None
    """The first answer."""
    inputs: int
    """Hash of the columns of the input."""
    key: str | None
    """Value of the column that rows are paired by."""

    def key_by(self, column: str | None) -> str | None:
        """Return what the prompt is paired by: the value of a column, or its id."""
        return self.custom_id if column is None else self.key


def compared_in(a: Side, b: Side) -> Compared:
    """Return what can be compared."""
    one, other = _parts(a.schema), _parts(b.schema)
    scores = [name for name in one.scores if name in other.scores]
    labels = [name for name in one.labels if name in other.labels]
    inputs = [name for name in one.inputs if name in other.inputs]
    return Compared(scores, labels or [_RESPONSE], inputs, one.numbers & other.numbers)


def _parts(schema: pa.Schema) -> Compared:
    """Return the columns of results by what they hold."""
    names = schema.names
    inputs = names[len(BEFORE_INPUT) : names.index(BEFORE_ANSWER[0].name)]
    typed = names[names.index(BEFORE_ANSWER[-1].name) + 1 : names.index(AFTER_ANSWER[0].name)]
    added = names[names.index(AFTER_ANSWER[-1].name) + 1 :]
    labels = [*typed, *(name for name in added if name == PREDICTION.name)]
    scores = [name for name in added if name.startswith("score") or name == "judge_score"]
    plain = {field.name for field in schema if not pa.types.is_nested(field.type)}
    numbers = {field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)}
    return Compared(
        scores,
        [name for name in labels if name in plain],
        [name for name in inputs if name in plain],
        frozenset(numbers.intersection(labels)),
    )


def prompts_of(side: Side, compared: Compared, key: str | None = None) -> Iterator[PromptAnswers]:
    """Yield the prompts of a side in the order of its rows; holds a batch of rows.

    Args:
        side: whose answers.
        compared: its columns.
        key: column that rows are paired by.
    """
    keys = [] if key is None else [key]
    text = [_RESPONSE] if compared.labels else []
    names = list(
        dict.fromkeys(
            ["row", "custom_id", "model", "status", *text, *compared.scores, *compared.labels, *compared.inputs, *keys]
        )
    )
    with pq.ParquetFile(side.results) as file:
        batches = (
            batch.filter(pc.equal(batch.column("model"), side.model))
            for batch in batches_of(file, _BATCH_ROWS, columns=names)
        )
        for table in whole_prompts(batches):
            yield from _prompts(table, compared, key)


def ids_of(side: Side) -> Iterator[tuple[int, str]]:
    """Yield the number and the id of each prompt of a side, in the order of its rows."""
    last = -1
    with pq.ParquetFile(side.results) as file:
        for batch in batches_of(file, _BATCH_ROWS, columns=["row", "custom_id", "model"]):
            its = batch.filter(pc.equal(batch.column("model"), side.model))
            for row, custom_id in zip(its.column("row").to_pylist(), its.column("custom_id").to_pylist(), strict=True):
                if row != last:
                    last = row
                    yield row, custom_id


def _prompts(table: pa.Table, compared: Compared, key: str | None) -> Iterator[PromptAnswers]:
    values = {name: python_values(table[name]) for name in table.column_names}
    places = range(table.num_rows)
    is_completed = [status == "completed" for status in values["status"]]
    for row, grouped in groupby(places, lambda place: values["row"][place]):
        its = list(grouped)
        first, completed = its[0], [place for place in its if is_completed[place]]
        yield PromptAnswers(
            row=row,
            custom_id=values["custom_id"][first],
            scores=tuple(_mean([values[name][place] for place in its]) for name in compared.scores),
            labels=tuple(_majority([values[name][place] for place in completed]) for name in compared.labels),
            text=values[_RESPONSE][completed[0]] if completed and compared.labels else None,
            inputs=hash(tuple(_plain(values[name][first]) for name in compared.inputs)),
            key=None if key is None else target_text(values[key][first]),
        )


def _mean(scores: Sequence[float | None]) -> float | None:
    found = [score for score in scores if score is not None]
    return sum(found) / len(found) if found else None


def _majority(values: Sequence[Any]) -> Hashable | None:
    if len(values) == 1:
        return _label(values[0])
    return vote_of(map(_label, values)).label


def _plain(value: Any) -> Hashable:
    """Return a value of the input in a form that does not depend on its type: 1 and 1.0 are the same."""
    return value if isinstance(value, str) else target_text(value)


def _label(value: Any) -> Hashable | None:
    return value.strip() or None if isinstance(value, str) else value
