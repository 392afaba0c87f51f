"""Finds the prompts whose answers differ, above all between models."""

import heapq
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.results.row_groups import batches_of
from batchrun.results.whole_prompts import whole_prompts

_BATCH_ROWS = 65_536


@dataclass(slots=True)
class Comparison:
    """The counts over all prompts with at least two completed answers."""

    columns: list[str]
    """What is compared."""
    prompts: int = 0
    between: int = 0
    """Prompts where models differ in what most of their answers say."""
    within: int = 0
    """Other prompts where answers of the same model differ."""
    first: list[int] = field(default_factory=list)
    """Input rows with the largest differences, the largest first."""


@lru_cache(maxsize=65_536)  # the same few labels come in the same few patterns
def difference(answers: tuple[tuple[str, Hashable], ...]) -> float:
    """Return how much the answers to one prompt differ: 0 when all are the same, above 1 when models differ.

    The rest is the share of the answers that are not the most frequent one.

    Args:
        answers: model and content of each.
    """
    models: dict[str, Counter[Hashable]] = {}
    together: Counter[Hashable] = Counter()
    for model, content in answers:
        models.setdefault(model, Counter())[content] += 1
        together[content] += 1
    if len(together) < 2:
        return 0.0
    usual = {counts.most_common(1)[0][0] for counts in models.values()}
    share = 1 - together.most_common(1)[0][1] / together.total()
    return (len(usual) > 1) + share


def compare(path: Path, columns: Sequence[str], *, most: int) -> Comparison:
    """Compare the completed answers to each prompt in a results.parquet.

    Args:
        path: the file; held are a batch of rows, and all rows of one prompt.
        columns: what to compare; none of them lists or objects.
        most: most input rows to return.
    """
    found = Comparison(list(columns))
    heap: list[tuple[float, int]] = []
    with pq.ParquetFile(path) as file:
        for rows in whole_prompts(batches_of(file, _BATCH_ROWS, columns=["row", "model", "status", *columns])):
            completed = rows.filter(pc.equal(rows["status"], "completed")).combine_chunks()
            counts = pc.value_counts(completed["row"]).field("counts")
            found.prompts += pc.sum(pc.greater(counts, 1)).as_py() or 0
            for row, size in _differences(completed, columns):
                found.between += size >= 1
                found.within += size < 1
                (heapq.heappush if len(heap) < most else heapq.heappushpop)(heap, (size, -row))
    found.first = [-row for _, row in sorted(heap, reverse=True)]
    return found


def _differences(rows: pa.Table, columns: Sequence[str]) -> Iterator[tuple[int, float]]:
    """Yield the number of each prompt whose answers differ, and by how much."""
    if not rows.num_rows:
        return
    numbers = rows["row"].combine_chunks()
    prompts = pc.unique(numbers)
    firsts = pc.take(pc.index_in(prompts, value_set=numbers), pc.index_in(numbers, value_set=prompts))
    contents = [_encoded(rows[name]) for name in columns]
    differs = pc.not_equal(firsts, firsts)
    for content in contents:
        differs = pc.or_(differs, pc.not_equal(content, pc.take(content, firsts)))
    odd = pc.is_in(numbers, value_set=pc.unique(numbers.filter(differs)))
    kept = zip(*(content.filter(odd).to_pylist() for content in contents), strict=True)
    answers = list(zip(rows["model"].filter(odd).to_pylist(), kept, strict=True))
    start = 0
    for entry in pc.value_counts(numbers.filter(odd)).to_pylist():  # in the order of the rows
        yield entry["values"], difference(tuple(answers[start : start + entry["counts"]]))
        start += entry["counts"]


def _encoded(column: pa.ChunkedArray) -> pa.Array:
    """Return the values of a column as numbers, null too: equal where the values are."""
    values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return pc.dictionary_encode(values, null_encoding="encode").indices
