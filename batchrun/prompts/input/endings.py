"""Endings of names → formats: what is input, and what to say of what is nearly input."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from batchrun.errors import InputError
from batchrun.prompts.input.diagnosis import advice

Format = Literal["jsonl", "parquet", "csv"]

_PACKED: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}

ENDINGS: dict[str, Format] = {
    **{ending + packing: kind for ending, kind in _PACKED.items() for packing in ("", ".gz", ".zst")},
    ".parquet": "parquet",
}
"""File ending → format. How a file is packed is read from its first bytes, whatever its name says."""

_MOST_LOOKED_AT = 20
"""Files of a folder without input that are looked at for a hint."""

NO_INPUT = (".", "_")
"""What the names of hidden files and of markers such as `_SUCCESS` begin with."""


def is_known(parts: Sequence[str]) -> bool:
    """Whether the names on the way to a file, and its own, are those of input."""
    return not any(part.startswith(NO_INPUT) for part in parts) and _format(parts[-1]) is not None


def _format(name: str) -> Format | None:
    return next((kind for ending, kind in ENDINGS.items() if name.lower().endswith(ending)), None)


def known_format(path: str, name: str, cure: str = "") -> Format:
    """Return the format of a file that was named; raises `InputError` where its ending is none that is known."""
    kind = _format(name)
    if kind is None:
        raise InputError(f"{path}: unknown ending; known are {known_endings()}{cure}")
    return kind


def hint(paths: Iterable[str]) -> str:
    """Return what one of the files in a folder without input is, if its bytes show it and there is a cure."""
    found = ((Path(path).name, advice(path)) for path in islice(sorted(paths), _MOST_LOOKED_AT))
    return next((f"; {name}{cure.replace('; it ', ' ', 1)}" for name, cure in found if cure), "")


def known_endings() -> str:
    """Return them for a message."""
    return ", ".join(ENDINGS)
