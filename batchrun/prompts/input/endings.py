"""Endings of names → formats: what is input, and what to say of what is nearly input."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from batchrun.errors import InputError

Format = Literal["jsonl", "parquet", "csv"]

_PACKED: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}

ENDINGS: dict[str, Format] = {
    **{ending + packing: kind for ending, kind in _PACKED.items() for packing in ("", ".gz", ".zst")},
    ".parquet": "parquet",
}
"""File ending → format. How a file is packed is read from its first bytes, whatever its name says."""

NO_INPUT = (".", "_")
"""What the names of hidden files and of markers such as `_SUCCESS` begin with."""


def is_known(parts: Sequence[str]) -> bool:
    """Whether the names on the way to a file, and its own, are those of input."""
    return not any(part.startswith(NO_INPUT) for part in parts) and _format(parts[-1]) is not None


def _format(name: str) -> Format | None:
    return next((kind for ending, kind in ENDINGS.items() if name.lower().endswith(ending)), None)


def known_format(path: str, name: str) -> Format:
    """Return the format of a file that was named; raises `InputError` where its ending is none that is known."""
    kind = _format(name)
    if kind is None:
        cure = hint([name]) or "; or pipe it in as -"
        raise InputError(f"{path}: unknown ending; known are {known_endings()}{cure}")
    return kind


_CURES = {
    ".json": "one document of JSON becomes lines by: jq -c '.[]'",
    ".arrow": "Arrow of Hugging Face becomes Parquet by: datasets.load_from_disk(FOLDER).to_parquet(FILE)",
}
"""Ending of what is nearly input → how it becomes that."""


def hint(names: Iterable[str]) -> str:
    """Return the hint that ends a message about files of other kinds, or nothing."""
    cure = next((_CURES[suffix] for name in names if (suffix := Path(name).suffix) in _CURES), "")
    return f" ({cure})" if cure else ""


def known_endings() -> str:
    """Return them for a message."""
    return ", ".join(ENDINGS)
