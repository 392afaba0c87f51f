"""The rows of the results in order: outcomes merged with their input rows.

Neither is held in memory. Outcomes are read a chunk at a time, so that raw answers do not pile up; the input is read a
batch at a time.
"""

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from batchrun.job.catalogue import PriceLike
from batchrun.records import OutcomeColumns
from batchrun.results.answer_counts import AnswerCounts
from batchrun.results.answers import AnswerReader
from batchrun.results.columns import BEFORE_ANSWER, BEFORE_INPUT, COLUMNS, SCORE, outcome_arrays, results_schema
from batchrun.results.merge import InputColumns, Merge, Part
from batchrun.results.scores import Objects, Scoring

_BEFORE_TYPED = len(BEFORE_INPUT) + len(BEFORE_ANSWER)

_NAMES = [column.name for column in COLUMNS]


class Results:
    """The rows of the results, for one pass."""

    def __init__(
        self,
        outcomes: Iterable[OutcomeColumns],
        inputs: InputColumns | None,
        prices: Mapping[str, PriceLike | None],
        *,
        reader: AnswerReader | None = None,
        scoring: Scoring | None = None,
        hidden: str | None = None,
    ) -> None:
        """Fix the schema; reads nothing.

        Args:
            outcomes: by row, model and sample, in columns of at least one row.
            inputs: the input's columns; None leaves them out.
            prices: by model; one that is missing has no price.
            reader: reads the answers.
            scoring: scores the rows.
            hidden: column that only the scoring needs; it is left out of the results.
        """
        self._outcomes, self._inputs, self._prices = outcomes, inputs, prices
        self._reader, self._scoring = reader or AnswerReader(None), scoring
        self._typed = self._reader.columns
        whole = results_schema(None if inputs is None else inputs.schema, self._typed, is_scored=scoring is not None)
        self._unscored = whole if scoring is None else pa.schema(list(whole)[:-1])
        self._names = None if hidden is None else [name for name in whole.names if name != hidden]
        self.schema = whole if self._names is None else pa.schema([whole.field(name) for name in self._names])
        """Names and types of the columns."""
        self.rows = 0
        """Number of rows so far."""
        self.answers = AnswerCounts()
        """Counts of the completed rows, so far."""
        self.dropped = 0
        """Number of outcomes left out so far, because the input no longer has their rows."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in batches of any size."""
        merge = None if self._inputs is None else Merge(self._inputs)
        for some in self._outcomes:
            outcomes, completions, objects = self._reader.read(some)
            rows = outcomes["row"]
            own = outcome_arrays(outcomes, self._prices, completions)
            self.answers.add(dict(zip(_NAMES, own, strict=True)))
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
        if self._scoring is not None:
            scores = self._scoring.column(batch, objects and objects[part.start : part.stop])
            batch = batch.append_column(pa.field(SCORE.name, SCORE.type), scores)
        return batch if self._names is None else batch.select(self._names)
