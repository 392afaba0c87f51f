"""Counts the values of answers column by column and model by model, in bounded memory."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.report.distribution import Distribution

_MOST_VALUES = 1_000
"""Most different values of a column that are counted; with more it holds free texts."""

_LONGEST_LABEL = 100
"""Most characters of a label; a column with a longer value holds free texts."""

_MOST_MODELS = 4
"""Most models that are counted apart: one column of the page each."""

ALL_MODELS = "all models"

Kind = Literal["text", "boolean", "number"]


class Shape(NamedTuple):
    """What the values of a column are."""

    kind: Kind
    is_list: bool = False
    is_choice: bool = False
    """Whether the schema lists them."""
    is_whole: bool = False
    """Whether they are integers."""


class Labels:
    """The values of one column."""

    def __init__(self, name: str, shape: Shape, *, groups: Sequence[str], per_prompt: float = 1) -> None:
        self.name, self.kind, self.is_list, self.is_choice, self.is_whole = name, *shape
        self.per_prompt = per_prompt
        """Mean number of answers to a prompt; they may be equal also where they are free texts."""
        self.groups = groups
        """Models, or only `ALL_MODELS`."""
        self.rows: Counter[str] = Counter()
        """Completed rows of each group."""
        self.nulls: Counter[str] = Counter()
        self.values: dict[str, Counter[Any]] | None = {group: Counter() for group in groups}
        """Values of each group; None when there are too many different ones."""
        self.numbers = {group: Distribution(is_whole=self.is_whole) for group in groups}
        """Of a column of numbers."""

    @property
    def is_done(self) -> bool:
        """Whether more rows cannot change what is known."""
        return self.values is None and self.kind != "number"

    @property
    def different(self) -> int | None:
        """Number of different values; None when there are too many."""
        return None if self.values is None else len(set().union(*self.values.values()))

    def add(self, group: str, column: pa.ChunkedArray) -> None:
        """Count the values of some completed rows."""
        self.rows[group] += len(column)
        self.nulls[group] += column.null_count
        values = column.combine_chunks()
        if self.is_list:
            values = pc.list_flatten(values)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        values = pc.drop_null(values)
        if self.kind == "number":
            self.numbers[group].add(values)
        self._count(group, values)

    def _count(self, group: str, values: pa.Array) -> None:
        if self.values is None:
            return
        counted = pc.value_counts(values)
        lengths = [pc.max(pc.utf8_length(values)).as_py() or 0] if self.kind == "text" else [0]
        if len(counted) > _MOST_VALUES or lengths[0] > _LONGEST_LABEL:
            self.values = None
            return
        self.values[group].update({each["values"]: each["counts"] for each in counted.to_pylist()})
        if (self.different or 0) > _MOST_VALUES:
            self.values = None


def count_labels(path: Path, names: Iterable[str], models: Sequence[str], *, per_prompt: float = 1) -> list[Labels]:
    """Return the counts over the completed rows of a results.parquet; columns of objects and times are left out.

    Args:
        path: the file; one row group is held at a time, and only the columns that are still counted.
        names: columns to count.
        models: those in the file.
        per_prompt: mean number of answers to a prompt.
    """
    groups = list(models) if 0 < len(models) <= _MOST_MODELS else [ALL_MODELS]
    with pq.ParquetFile(path) as file:
        shapes = {name: _shape(file.schema_arrow.field(name).type) for name in names}
        columns = [Labels(name, shape, groups=groups, per_prompt=per_prompt) for name, shape in shapes.items() if shape]
        for number in range(file.num_row_groups):
            if not (counted := [each for each in columns if not each.is_done]):
                break
            rows = file.read_row_group(number, columns=["model", "status", *(each.name for each in counted)])
            rows = rows.filter(pc.equal(rows["status"], "completed"))
            for group in groups:
                its = rows if group == ALL_MODELS else rows.filter(pc.equal(rows["model"], group))
                for each in counted:
                    each.add(group, its[each.name])
    return columns


def _shape(kind: pa.DataType) -> Shape | None:
    """Return what a column of this type holds; None if it is not counted."""
    if pa.types.is_list(kind):
        elements = _shape(kind.value_type)
        return None if elements is None or elements.is_list else elements._replace(is_list=True)
    if pa.types.is_dictionary(kind):
        return Shape("text", is_choice=True) if _shape(kind.value_type) == Shape("text") else None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Shape("text")
    if pa.types.is_boolean(kind):
        return Shape("boolean")
    is_whole = pa.types.is_integer(kind)
    return Shape("number", is_whole=is_whole) if is_whole or pa.types.is_floating(kind) else None
