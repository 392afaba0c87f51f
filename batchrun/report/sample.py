"""Picks the prompts for the report's table with all their answers, and shortens their cells to fit the page."""

from collections.abc import Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.report.cells import LONGEST, cells_of, has_bytes, last_messages, shorter
from batchrun.report.compare import difference
from batchrun.report.table import CONVERSATIONS, MESSAGES, Layout
from batchrun.report.tally import Tally
from batchrun.results.row_groups import batches_of

ROWS = 2_000
"""Most answers in the table."""

FAILED_ROWS = 500
"""Most prompts that are shown because an answer failed; the others differ most, or are picked at random."""

_MOST_SAMPLES = 100
"""Most answers of a model to a prompt: the table has no room for more."""

_CELL_CHARS = (LONGEST, 1_000, 500, 250, 120, 60)
"""Lengths to cut texts at; the first one that makes the rows fit is used."""

_COLUMNS = 60
"""Most columns of the results that are shown."""

_BATCH_ROWS = 4_096

_HARMLESS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})

_Cells = list[Any]


class Prompt(NamedTuple):
    """A prompt with its answers, as JSON can hold them."""

    cells: _Cells
    answers: list[_Cells]
    difference: float
    """See `compare.difference`."""

    @property
    def data(self) -> list[Any]:
        """Itself as JSON can hold it."""
        return [self.cells, self.answers, self.difference]


class Sample(NamedTuple):
    """Prompts with all their answers."""

    prompt_columns: list[str]
    answer_columns: list[str]
    prompts: list[Prompt]
    is_all: bool
    """Whether these are all rows of the results."""
    are_whole: bool = True
    """Whether these are all answers to each prompt."""

    @property
    def answers(self) -> int:
        """Number of answers."""
        return sum(len(each.answers) for each in self.prompts)


def chosen_rows(found: Tally, differing: Sequence[int], most: int = ROWS) -> set[int] | None:
    """Return which input rows to show: some failed ones, some whose answers differ, others at random; None for all.

    Args:
        found: the counts over the results.
        differing: input rows whose answers differ, the largest differences first.
        most: number of answers to show, if there are as many.
    """
    if found.rows <= most:
        return None
    wanted = max(1, most * found.prompts // found.rows)
    chosen = {*found.failed_rows[: max(1, wanted // 4)], *differing[: wanted // 2]}
    others = (row for row in found.sampled.mixed() if row not in chosen)
    return chosen.union(islice(others, max(0, wanted - len(chosen))))


def read_sample(
    path: Path, layout: Layout, chosen: set[int] | None, most_bytes: int, compared: Sequence[str] = ()
) -> Sample:
    """Return prompts of a results.parquet that take at most about `most_bytes` in a page; holds one batch at a time.

    Args:
        path: the file.
        layout: its columns.
        chosen: input rows to show; None for all.
        most_bytes: of their JSON.
        compared: columns by which the answers to a prompt are compared.
    """
    with pq.ParquetFile(path) as file:
        kinds = {field.name: field.type for field in file.schema_arrow}
        inputs, answers = _shown(layout, [name for name, kind in kinds.items() if not has_bytes(kind)])
        conversations = next((each for each in CONVERSATIONS if each in inputs and MESSAGES in layout.texts), None)
        reader = _Reader(inputs, answers, compared, conversations)
        lines: list[_Line] = []
        for batch in batches_of(file, _BATCH_ROWS, columns=[*inputs, *answers]):
            lines += reader.read(batch, chosen)
        prompts = [_prompt(list(its)) for _, its in groupby(lines, lambda line: line.row)]
        shown = _fitting(prompts, most_bytes)
        is_all = sum(len(each.answers) for each in shown) == file.metadata.num_rows
    return Sample(inputs if conversations is None else [*inputs, MESSAGES], answers, shown, is_all, reader.are_whole)


class _Line(NamedTuple):
    """An answer with its prompt."""

    row: int
    prompt: _Cells
    answer: _Cells
    compared: tuple[str, tuple[Any, ...]] | None
    """Model and content; None if it failed."""


class _Reader:
    """Reads the chosen rows of batches."""

    def __init__(
        self, inputs: Sequence[str], answers: Sequence[str], compared: Sequence[str], conversations: str | None
    ) -> None:
        self._inputs, self._answers, self._compared = inputs, answers, compared
        self._conversations = conversations
        self.are_whole = True
        """Whether no answer to a chosen prompt was left out so far."""

    def read(self, batch: pa.RecordBatch, chosen: set[int] | None) -> list[_Line]:
        """Return the chosen rows of a batch as cells that are not too long."""
        if chosen is not None:
            batch = batch.filter(pc.is_in(batch.column("row"), value_set=pa.array(sorted(chosen), pa.int64())))
        rows = pa.table(batch.filter(pc.less(batch.column("sample"), _MOST_SAMPLES)))
        self.are_whole = self.are_whole and rows.num_rows == batch.num_rows
        if not rows.num_rows:
            return []
        prompts = self._lines(rows, self._inputs)
        if self._conversations is not None:
            last = last_messages(rows[self._conversations])
            prompts = [[*prompt, text] for prompt, text in zip(prompts, last, strict=True)]
        contents = self._lines(rows, ["model", "status", *self._compared])
        compared = [(each[0], tuple(each[2:])) if each[1] == "completed" else None for each in contents]
        parts = (rows["row"].to_pylist(), prompts, self._lines(rows, self._answers), compared)
        return list(map(_Line._make, zip(*parts, strict=True)))

    def _lines(self, rows: pa.Table, names: Sequence[str]) -> list[_Cells]:
        return list(map(list, zip(*(cells_of(rows[name]) for name in names), strict=True)))


def _prompt(lines: list[_Line]) -> Prompt:
    completed = tuple(line.compared for line in lines if line.compared is not None)
    is_compared = bool(completed) and bool(completed[0][1])
    size = difference(completed) if is_compared else 0.0
    return Prompt(lines[0].prompt, [line.answer for line in lines], round(size, 3))


def _shown(layout: Layout, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns to show: if there are too many, columns of the input are left out, first those not asked."""
    inputs, answers = ([name for name in part if name in names] for part in (layout.prompt, layout.answer))
    wanted = {*inputs[:2], *layout.texts, layout.target, *(CONVERSATIONS if MESSAGES in layout.texts else ())}
    room = max(len(wanted), _COLUMNS - len(answers)) - len(wanted.intersection(inputs))
    others = [name for name in inputs if name not in wanted][: max(0, room)]
    return [name for name in inputs if name in wanted or name in others], answers


def _fitting(prompts: list[Prompt], most_bytes: int) -> list[Prompt]:
    """Return the prompts with shorter texts, and if necessary fewer prompts, so that they fit."""
    for most in _CELL_CHARS:
        shown = [_shorter(prompt, most) for prompt in prompts]
        if _size(shown) <= most_bytes:
            return shown
    while shown and _size(shown) > most_bytes:
        shown = shown[::2] if len(shown) > 1 else []
    return shown


def _shorter(prompt: Prompt, most: int) -> Prompt:
    return prompt._replace(
        cells=[shorter(cell, most) for cell in prompt.cells],
        answers=[[shorter(cell, most) for cell in answer] for answer in prompt.answers],
    )


def _size(prompts: list[Prompt]) -> int:
    return sum(len(harmless_json(prompt.data).encode()) for prompt in prompts)


def harmless_json(data: Any) -> str:
    """Return JSON for a script element: nothing in it can end the element or start another."""
    return orjson.dumps(data).decode().translate(_HARMLESS)
