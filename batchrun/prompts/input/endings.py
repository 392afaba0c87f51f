"""Endings of names → formats: what is input, and what to say of what is nearly input."""

import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from batchrun.errors import InputError
from batchrun.prompts.input.diagnosis import advice

Format = Literal["jsonl", "parquet", "csv", "json", "txt", "run", "xlsx"]
"""`run` is the results of a run, named by its directory."""

_PACKED: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "txt",
}

ENDINGS: dict[str, Format] = {
    **{ending + packing: kind for ending, kind in _PACKED.items() for packing in ("", ".gz", ".zst")},
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
"""File ending → format. How a file is packed is read from its first bytes, whatever its name says."""

_ONLY_NAMED: tuple[Format, ...] = ("json", "txt", "xlsx")
"""Formats that other files next to data have too, such as `config.json`, `LICENSE.txt` and `notes.xlsx`."""

_SHEET = re.compile(r"(.+\.xlsx)#(.+)", re.IGNORECASE)
"""The path of a workbook and the name of a sheet in it."""

_MOST_LOOKED_AT = 20
"""Files of a folder without input that are looked at for a hint."""

NO_INPUT = (".", "_")
"""What the names of hidden files and of markers such as `_SUCCESS` begin with."""


def is_known(parts: Sequence[str], pattern: str = "") -> bool:
    """Whether the names on the way to a file, and its own, are those of input.

    Args:
        parts: the names.
        pattern: the glob that found the file; `.json`, `.txt` and `.xlsx` are input only where it names the ending.
    """
    kind = _format(parts[-1])
    if kind is None or any(part.startswith(NO_INPUT) for part in parts):
        return False
    return kind not in _ONLY_NAMED or _format(pattern.rstrip("*")) == kind


def _format(name: str) -> Format | None:
    return next((kind for ending, kind in ENDINGS.items() if name.lower().endswith(ending)), None)


def known_format(path: str, name: str, cure: str = "") -> Format:
    """Return the format of a file that was named; raises `InputError` where its ending is none that is known."""
    kind = _format(name)
    if kind is None:
        raise InputError(f"{path}: unknown ending; known are {known_endings()}{cure}")
    return kind


def has_format(name: str) -> bool:
    """Whether a file with this name is input where it is named."""
    return _format(name) is not None


def parted_sheet(path: str) -> tuple[str, str]:
    """Return the path of a workbook and the sheet that is named after it; other paths unchanged, without a sheet."""
    found = _SHEET.fullmatch(path)
    return (path, "") if found is None or Path(path).exists() else (found[1], found[2])


def separator(name: str) -> str | None:
    """Return what separates the columns of a file of CSV with this name; None where its header shows it."""
    bare = name.lower().removesuffix(".gz").removesuffix(".zst")
    return "\t" if bare.endswith(".tsv") else None


def hint(paths: Iterable[str]) -> str:
    """Return how to use one of the files in a folder without input, if its name or its bytes show it."""
    found = sorted(paths)
    cures = ((Path(path).name, advice(path)) for path in islice(found, _MOST_LOOKED_AT) if not has_format(path))
    cure = next((f"; {name}{cure.replace('; it ', ' ', 1)}" for name, cure in cures if cure), "")
    return cure or next(filter(None, map(named_hint, found)), "")


def named_hint(path: str) -> str:
    """Return how to use a file of a folder that is read only where its ending is named; empty for other files."""
    ending = next((ending for ending, kind in ENDINGS.items() if kind in _ONLY_NAMED and path.endswith(ending)), None)
    if ending is None:
        return ""
    folder = path.rpartition("/")[0]
    pattern = shlex.quote(f"{folder}/*{ending}" if folder else f"*{ending}")
    return f"; files that end in {ending} are read where the ending is named: {pattern}"


def known_endings() -> str:
    """Return them for a message."""
    return f"{', '.join(_PACKED)}, each also with .gz or .zst, .parquet, and .xlsx"
