"""Rows of the results, cut so that all answers to a prompt stay together."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc


def whole_prompts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows with all answers to a prompt in one table; rows must come in the order of the results."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        last = batch.column("row")[-1]
        first = pc.index(batch.column("row"), last).as_py()
        if first or (held and held[-1].column("row")[-1] != last):
            yield pa.Table.from_batches([*held, batch[:first]]).unify_dictionaries()
            held = []
        held.append(batch[first:])
    if held:
        yield pa.Table.from_batches(held).unify_dictionaries()
