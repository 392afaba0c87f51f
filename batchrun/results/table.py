"""The rows of the results in order: outcomes merged with their input rows.

Neither is held in memory. Outcomes are read a chunk at a time, so that raw answers do not pile up; the input is read a
batch at a time.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from batchrun.answers.data_columns import data_arrays
from batchrun.answers.equal_vectors import EqualVectors, equal_columns
from batchrun.answers.logprobs import logprobs_array
from batchrun.records import OutcomeColumns
from batchrun.results.answer_counts import AnswerCounts
from batchrun.results.answers import AnswerReader, Answers
from batchrun.results.arrays import outcome_arrays
from batchrun.results.columns import (
    ALWAYS,
    BEFORE_ANSWER,
    BEFORE_INPUT,
    COLUMNS,
    OptionalColumns,
    results_schema,
    shown_columns,
)
from batchrun.results.evaluated import Evaluated
from batchrun.results.merge import InputColumns, Merge, Part
from batchrun.results.prices import PriceOf
from batchrun.results.row_scorers import Objects

_BEFORE_TYPED = len(BEFORE_INPUT) + len(BEFORE_ANSWER)

_NAMES = [column.name for column in COLUMNS]


class Results:
    """The rows of the results, for one pass."""

    def __init__(
        self,
        outcomes: Iterable[OutcomeColumns],
        inputs: InputColumns | None,
        prices: PriceOf,
        *,
        reader: AnswerReader | None = None,
        evaluated: Evaluated | None = None,
        hidden: Collection[str] = (),
        optional: OptionalColumns = ALWAYS,
        only_endpoint: str | None = None,
    ) -> None:
        """Fix the schema; reads nothing.

        Args:
            outcomes: by row, model and sample, in columns of at least one row.
            inputs: the input's columns; None leaves them out.
            prices: of each model at each endpoint.
            reader: reads the answers.
            evaluated: scores the rows.
            hidden: columns that only the evaluation needs; they are left out of the results.
            optional: the columns that only some runs have.
            only_endpoint: where answers come from that have no endpoint's name; None where this is not known.
        """
        self._outcomes, self._inputs = outcomes, inputs
        self._prices, self._only_endpoint = prices, only_endpoint
        self._reader, self._evaluated = reader or AnswerReader(None), evaluated or Evaluated()
        self._typed = self._reader.columns
        added = self._evaluated.columns
        schema = None if inputs is None else inputs.schema
        whole = results_schema(schema, self._typed, added=added, optional=optional)
        self._optional = optional
        self._unscored = pa.schema(list(whole)[: len(whole) - len(added)])
        self._hidden = hidden
        self.schema = pa.schema([field for field in whole if field.name not in hidden])
        """Names and types of the columns."""
        self.rows = 0
        """Number of rows so far."""
        self.answers = AnswerCounts()
        """Counts of the completed rows, so far."""
        self.dropped = 0
        """Number of outcomes left out so far, because the input no longer has their rows."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in batches of any size; raises `LateColumns` where an answer has other columns."""
        return self._evaluated.voted(self._batches(), self.schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        merge = None if self._inputs is None else Merge(self._inputs)
        for some in self._outcomes:
            answers = self._reader.read(some)
            outcomes, objects = answers.outcomes, answers.objects
            rows = outcomes["row"]
            shown = _shown(answers)
            own = outcome_arrays(outcomes, self._prices, shown, only_endpoint=self._only_endpoint)
            data = shown["data"]
            if isinstance(data, EqualVectors):
                are_texts = [False] * data.rows
            else:
                data = data if self._optional.data or any(data) else ()
                are_texts = [each is None for each in data]
            self.answers.add(dict(zip(_NAMES, own, strict=True)), are_texts)
            if self._optional.has_logprobs:
                own.insert(len(own) - 1, _logprobs(outcomes))
            if data:
                own[_BEFORE_TYPED:_BEFORE_TYPED] = data_arrays(data, self._optional.data)
            if self._typed is not None and objects is not None:
                own[_BEFORE_TYPED:_BEFORE_TYPED] = self._typed.arrays(objects)
            self.dropped += len(rows)
            for part in [Part(0, len(rows), [])] if merge is None else merge.parts(rows):
                self.dropped -= part.stop - part.start
                self.rows += part.stop - part.start
                yield self._batch(own, part, objects)

    def _batch(self, own: list[pa.Array], part: Part, objects: Objects) -> pa.RecordBatch:
        mine = [each[part.start : part.stop] for each in own]
        split = len(BEFORE_INPUT)
        columns = [*mine[:split], *part.columns, *mine[split:]]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._unscored)
        if self._evaluated.scorings:
            batch = self._evaluated.scored(batch, objects and objects[part.start : part.stop])
        if not self._hidden:
            return batch
        return batch.select([name for name in batch.schema.names if name not in self._hidden])


def _shown(answers: Answers) -> Mapping[str, Any]:
    """Return the shown parts of answers: field of `Completion` → its values."""
    return _equal_vectors(answers.outcomes) or answers.shown or shown_columns(answers.outcomes)


def _equal_vectors(outcomes: OutcomeColumns) -> dict[str, Any] | None:
    """Return the shown parts of the answers where each is a vector, all of one length; None otherwise."""
    return equal_columns(outcomes["body"]) if outcomes["kind"].count(None) == len(outcomes["kind"]) else None


def _logprobs(outcomes: OutcomeColumns) -> pa.Array:
    """Return the log probabilities of the completed rows."""
    bodies, kinds = outcomes["body"], outcomes["kind"]
    return logprobs_array([body if kind is None else None for body, kind in zip(bodies, kinds, strict=True)])
