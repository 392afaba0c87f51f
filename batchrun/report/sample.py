"""Picks the prompts for the report's table with all their answers, and shortens their cells to fit the page."""

import random
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.report.compare import difference, whole_prompts
from batchrun.report.table import CONVERSATIONS, MESSAGES, Layout

ROWS = 2_000
"""Most answers in the table."""

FAILED_ROWS = 500
"""Most prompts that are shown because an answer failed; the others differ most, or are picked at random."""

_CELL_CHARS = (2_000, 1_000, 500, 250, 120, 60)
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

    @property
    def answers(self) -> int:
        """Number of answers."""
        return sum(len(each.answers) for each in self.prompts)


class Choice(NamedTuple):
    """Which prompts to show."""

    must: Collection[int]
    """Input rows that are shown in any case."""
    prompts: int
    """Number of prompts to show."""
    is_all: bool
    """Whether these are all."""


def choice(rows: int, prompts: int, failed: Sequence[int], differing: Sequence[int], most: int = ROWS) -> Choice:
    """Return which of the prompts of some results to show.

    Args:
        rows: number of rows in the results.
        prompts: number of input rows among them.
        failed: input rows with a failed answer.
        differing: input rows whose answers differ, the largest differences first.
        most: number of answers to show, if there are as many.
    """
    if rows <= most:
        return Choice((), prompts, is_all=True)
    wanted = max(1, most * prompts // rows)
    return Choice({*failed[: max(1, wanted // 4)], *differing[: wanted // 2]}, wanted, is_all=False)


def read_sample(path: Path, layout: Layout, chosen: Choice, most_bytes: int, compared: Sequence[str] = ()) -> Sample:
    """Return prompts of a results.parquet that take at most about `most_bytes` in a page; holds one batch at a time.

    Args:
        path: the file.
        layout: its columns.
        chosen: which prompts.
        most_bytes: of their JSON.
        compared: columns by which the answers to a prompt are compared.
    """
    with pq.ParquetFile(path) as file:
        kinds = {field.name: field.type for field in file.schema_arrow}
        inputs, answers = _shown(layout, [name for name, kind in kinds.items() if not _has_bytes(kind)])
        conversations = next((each for each in CONVERSATIONS if each in inputs), None)
        conversations = conversations if MESSAGES in layout.texts else None
        total = file.metadata.num_rows
        places = _places(total, chosen)
        found: dict[int, Prompt] = {}
        start = 0
        for rows in whole_prompts(file.iter_batches(_BATCH_ROWS, columns=[*inputs, *answers])):
            its = rows if chosen.is_all else _picked(rows, start, places, chosen.must)
            found |= _prompts(its, inputs, answers, compared, conversations=conversations)
            start += rows.num_rows
    prompts = _at_most(found, chosen)
    shown = _fitting(prompts, most_bytes)
    columns = inputs if conversations is None else [*inputs, MESSAGES]
    return Sample(columns, answers, shown, chosen.is_all and len(shown) == len(prompts))


def _places(total: int, chosen: Choice) -> list[int]:
    """Return positions in the file at random, in order; the same for the same file. Their prompts are shown."""
    chance = random.Random(total)  # noqa: S311  # not for security
    return [] if chosen.is_all else sorted(chance.sample(range(total), min(total, chosen.prompts)))


def _picked(rows: pa.Table, start: int, places: Sequence[int], must: Collection[int]) -> pa.Table:
    here = [place - start for place in places if start <= place < start + rows.num_rows]
    numbers = set(rows["row"].take(pa.array(here, pa.int64())).to_pylist())
    if must:
        numbers |= set(must).intersection(rows["row"].to_pylist())
    return rows.filter(pc.is_in(rows["row"], value_set=pa.array(sorted(numbers), pa.int64())))


def _prompts(
    rows: pa.Table,
    inputs: Sequence[str],
    answers: Sequence[str],
    compared: Sequence[str],
    *,
    conversations: str | None,
) -> dict[int, Prompt]:
    """Return the prompts of some rows by their numbers; with a column of conversations, also their last messages."""
    if not rows.num_rows:
        return {}
    of_prompt = _lines(rows, inputs)
    of_answer = _lines(rows, answers)
    messages = None if conversations is None else _last_messages(rows[conversations])
    contents = _lines(rows, ["model", "status", *compared])
    found = {}
    for row, places in groupby(range(rows.num_rows), rows["row"].to_pylist().__getitem__):
        its = list(places)
        its_contents = [contents[place] for place in its]
        completed = tuple((model, tuple(content)) for model, status, *content in its_contents if status == "completed")
        size = difference(completed) if compared else 0.0
        text = [] if messages is None else [messages[its[0]]]
        found[row] = Prompt([*of_prompt[its[0]], *text], [of_answer[place] for place in its], round(size, 3))
    return found


def _lines(rows: pa.Table, names: Sequence[str]) -> list[_Cells]:
    return list(map(list, zip(*(_cells(rows[name]) for name in names), strict=True)))


def _at_most(found: dict[int, Prompt], chosen: Choice) -> list[Prompt]:
    """Return the prompts in order, without some of those at random if there are too many."""
    extra = len(found) - chosen.prompts
    others = [] if chosen.is_all else [row for row in found if row not in chosen.must]
    dropped = set(random.Random(len(found)).sample(others, max(0, min(extra, len(others)))))  # noqa: S311  # as above
    return [prompt for row, prompt in found.items() if row not in dropped]


def _shown(layout: Layout, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns to show: if there are too many, columns of the input are left out, first those not asked."""
    inputs, answers = ([name for name in part if name in names] for part in (layout.prompt, layout.answer))
    wanted = {*inputs[:2], *layout.texts, layout.target, *(CONVERSATIONS if MESSAGES in layout.texts else ())}
    room = max(len(wanted), _COLUMNS - len(answers)) - len(wanted.intersection(inputs))
    others = [name for name in inputs if name not in wanted][: max(0, room)]
    return [name for name in inputs if name in wanted or name in others], answers


def _has_bytes(kind: pa.DataType) -> bool:
    """Return whether a column holds bytes, such as images, which a table cannot show."""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return True
    if pa.types.is_dictionary(kind):
        return _has_bytes(kind.value_type)
    return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))


def _last_messages(conversations: pa.ChunkedArray) -> list[Any]:
    """Return the text of the last message of each conversation."""
    try:
        return [_last_text(value) for value in conversations.to_pylist()]
    except (ValueError, OverflowError, pa.ArrowException):  # as for the cells
        return [None] * len(conversations)


def _last_text(value: Any) -> str | None:
    """Return the text of the last message in a column's value, which may be JSON text."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    if isinstance(value, dict):
        value = value.get("messages")
    if not isinstance(value, list) or not value or not isinstance(value[-1], dict):
        return None
    content = value[-1].get("content")
    if isinstance(content, list):
        content = "\n".join(_texts_in(content))
    return cut(content, _CELL_CHARS[0]) if isinstance(content, str) else None


def _texts_in(parts: Sequence[Any]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """Return a column's values as null, boolean, number, or text that is not too long."""
    kind = column.type
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())  # Python's types cannot hold all of them
    try:
        return [_cell(value) for value in column.to_pylist()]
    except (ValueError, OverflowError, pa.ArrowException):  # such as nanoseconds inside a struct
        return ["(cannot be shown)"] * len(column)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)  # JavaScript rounds greater integers
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return cut(text, _CELL_CHARS[0])


def cut(text: str, most: int) -> str:
    """Return a text of about `most` characters, with its full length if it was cut."""
    return text if len(text) <= most else f"{text[:most]}… (of {len(text):,} characters)"


def _fitting(prompts: list[Prompt], most_bytes: int) -> list[Prompt]:
    """Return the prompts with shorter texts, and if necessary fewer prompts, so that they fit."""
    for most in _CELL_CHARS:
        shown = [_shorter(prompt, most) for prompt in prompts]
        if _size(shown) <= most_bytes:
            return shown
    while shown and _size(shown) > most_bytes:
        shown = shown[::2]
    return shown


def _shorter(prompt: Prompt, most: int) -> Prompt:
    return prompt._replace(
        cells=[_shorter_cell(cell, most) for cell in prompt.cells],
        answers=[[_shorter_cell(cell, most) for cell in answer] for answer in prompt.answers],
    )


def _shorter_cell(cell: Any, most: int) -> Any:
    if not isinstance(cell, str) or len(cell) <= most:
        return cell
    head, mark, tail = cell.rpartition("… (of ")  # already cut: keep its full length
    was_cut = mark and tail.endswith(" characters)") and len(tail) < 30
    return f"{head[:most]}{mark}{tail}" if was_cut else cut(cell, most)


def _size(prompts: list[Prompt]) -> int:
    return sum(len(harmless_json(prompt.data).encode()) for prompt in prompts)


def harmless_json(data: Any) -> str:
    """Return JSON for a script element: nothing in it can end the element or start another."""
    return orjson.dumps(data).decode().translate(_HARMLESS)
