"""Reads JSON Lines whose columns are texts and numbers straight into these columns: no dict is made of any row.

That takes a third of what dicts take. Lines that have anything else, or are not JSON, are left to those who read every
line; where this reads some, it finds the same.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.lines import blocks
from batchrun.prompts.input.reader import opened
from batchrun.prompts.input.types import MOST_EXACT

_DECODED: Mapping[pa.DataType, Any] = {
    pa.null(): str | None,  # a column that had no value so far is text
    pa.string(): str | None,
    pa.bool_(): bool | None,
    pa.int64(): Annotated[int, msgspec.Meta(ge=-MOST_EXACT, le=MOST_EXACT)] | None,
    pa.float64(): float | None,
}


class FlatLines:
    """The columns of some lines."""

    def __init__(self, decode: msgspec.json.Decoder[Any], fields: Mapping[str, pa.Field]) -> None:
        self._decode = decode.decode
        self._fields = [(attrgetter(attribute), field) for attribute, field in fields.items()]

    @classmethod
    def of(
        cls, types: Mapping[str, pa.DataType | None], others: Collection[str], schema: pa.Schema
    ) -> "FlatLines | None":
        """Return what reads lines that have these columns; None where it is not for such columns.

        Args:
            types: the columns that are wanted, as they were found.
            others: columns that lines may have, too.
            schema: the wanted columns as they are to be, in their order.
        """
        if not schema.names or not all(kind in _DECODED for kind in types.values()):
            return None
        named = {name: f"c{number}" for number, name in enumerate([*types, *others])}
        decoded = {named[name]: _DECODED[kind] for name, kind in types.items()}
        fields = [(attribute, decoded.get(attribute, Any), None) for attribute in named.values()]
        rename = {attribute: name for name, attribute in named.items()}
        try:
            row = msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
        except ValueError:  # a name that JSON escapes
            return None
        return cls(msgspec.json.Decoder(row), {named[field.name]: field for field in schema})

    def arrays(self, lines: Iterable[bytes]) -> list[pa.Array] | None:
        """Return the columns of rows, one for each line; None where one of the lines is of any other form."""
        try:
            rows = [*map(self._decode, lines)]
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        arrays = [pa.array([*map(value, rows)], field.type) for value, field in self._fields]
        return arrays if all(map(_is_exact, arrays)) else None


def _is_exact(column: pa.Array) -> bool:
    """Return whether no fraction is so large that it may be a whole number which has lost digits."""
    largest = pc.max(pc.abs(column)).as_py() if pa.types.is_floating(column.type) else None
    return largest is None or largest < MOST_EXACT


def line_lists(file: InputFile, most: int) -> Iterator[list[bytes]]:
    """Yield the lines of a file of JSON Lines in lists of at most `most`, those for which there are rows.

    Raises:
        InputError: the file cannot be read, or breaks off.
    """
    with opened(file) as raw:
        for block in blocks(raw, encoding=file.encoding):
            for start in range(0, len(block.lines), most):
                lines = block.lines[start : start + most]
                if any(lines):  # blank lines pack so well that a small file may hold millions of them
                    yield lines
