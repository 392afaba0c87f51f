"""Results with one row per prompt, and columns for each model and sample."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from batchrun.answers.columns import column_names
from batchrun.results.columns import AFTER_ANSWER, BEFORE_ANSWER, VOTE_SHARE, vote_column

_FIRST_OF_ANSWER = BEFORE_ANSWER[0].name
_VOTES = (vote_column(pa.string()).name, VOTE_SHARE.name)
_BEFORE_TYPED, _AFTER_TYPED = BEFORE_ANSWER[-1].name, AFTER_ANSWER[0].name


class Wide:
    """Turns rows of the results into columns `MODEL/SAMPLE/COLUMN`.

    The columns are the response, those of the schema, and what the evaluation added; null if the request failed or is
    not settled. The vote is the same for all answers to a prompt, and follows the columns of the input.
    """

    def __init__(self, schema: pa.Schema, asked: Sequence[tuple[str, int]]) -> None:
        """Fix the schema.

        Args:
            schema: of the results.
            asked: models and samples, in the order of their columns; other rows are left out.
        """
        names = schema.names
        self._asked = asked
        added = names[names.index(AFTER_ANSWER[-1].name) + 1 :]
        votes = [name for name in added if name in _VOTES]
        self._of_prompt = [*names[: names.index(_FIRST_OF_ANSWER)], *votes]
        typed = names[names.index(_BEFORE_TYPED) + 1 : names.index(_AFTER_TYPED)]
        self._of_answer = ["response", *typed, *(name for name in added if name not in votes)]
        wanted = [f"{model}/{sample}/{name}" for model, sample in asked for name in self._of_answer]
        renamed = column_names(wanted, self._of_prompt)
        types = [schema.field(name).type for _ in asked for name in self._of_answer]
        prompt = [schema.field(name) for name in self._of_prompt]
        self.schema = pa.schema([*prompt, *map(pa.field, renamed, types)])
        """Names and types of the columns."""
        self.plain = ["row", "custom_id", *renamed[:: len(self._of_answer)]]
        """Columns whose values rarely repeat."""

    def batches(self, results: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield one row per prompt; results must come in the order of their rows. The last prompt is held back."""
        names = [*self._of_prompt, _FIRST_OF_ANSWER, "sample", *self._of_answer]
        held: list[pa.RecordBatch] = []
        for batch in results:
            batch = batch.select(names)
            first = _start_of_last_row(batch)
            if first:
                yield from self._turned([*held, batch[:first]])
                held = []
            if held and _last_row(held[-1]) != _last_row(batch):
                yield from self._turned(held)
                held = []
            held.append(batch[first:])
        if held:
            yield from self._turned(held)

    def _turned(self, batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of some prompts with all their results."""
        table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
        rows = table.column("row").unique()
        first = pc.index_in(rows, value_set=table.column("row").combine_chunks())
        columns = [table.column(name).take(first) for name in self._of_prompt]
        for model, sample in self._asked:
            is_its = pc.and_(pc.equal(table.column("model"), model), pc.equal(table.column("sample"), sample))
            its = table.filter(is_its)
            places = pc.index_in(rows, value_set=its.column("row").combine_chunks())
            columns += [its.column(name).take(places) for name in self._of_answer]
        yield from pa.Table.from_arrays(columns, schema=self.schema).to_batches()


def _last_row(batch: pa.RecordBatch) -> int:
    return int(batch.column("row")[-1].as_py())


def _start_of_last_row(batch: pa.RecordBatch) -> int:
    """Return the index of the first result of the batch's last prompt."""
    return int(pc.index(batch.column("row"), batch.column("row")[-1]).as_py())
