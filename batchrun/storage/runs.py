"""Run directories: what they are known by, and those in a folder."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

RUN_FILE = "checkpoint.sqlite"
"""What a run directory has."""

SUMMARY_FILE = "run.json"

BATCHES_FOLDER = "batches"
"""Files of the batches that are not collected yet."""

_BATCH_FILE = re.compile(r"(\d{4,})\.jsonl")


def is_run(directory: Path) -> bool:
    """Return whether a directory is that of a run."""
    return any((directory / f"{RUN_FILE}{suffix}").exists() for suffix in ("", "-wal"))  # a log alone is damage


def runs_below(folder: Path) -> Iterator[Path]:
    """Yield the run directories in a folder and its folders. Hidden folders and links are not looked into."""
    for place, folders, files in os.walk(folder):
        if RUN_FILE in files:
            folders.clear()
            yield Path(place)
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))


def such_as_run(folder: Path) -> str:
    """Return the end of a message to a user who has named a folder of runs: the newest of them; empty without any.

    It looks two levels deep only, so that it takes no time where a large tree was named.
    """
    found = {each.parent: each for depth in ("*", "*/*") for each in folder.glob(f"{depth}/{RUN_FILE}")}
    runs = [run for run in found if run.parent not in found]  # the judge of a run is not named
    newest = max(runs, key=lambda run: found[run].stat().st_mtime_ns, default=None)
    return "" if newest is None else f", such as {newest}"


def read_summary(directory: Path) -> dict[str, Any]:
    """Return the content of run.json; empty when it cannot be read."""
    with suppress(OSError, orjson.JSONDecodeError):
        summary = orjson.loads((directory / SUMMARY_FILE).read_bytes())
        return summary if isinstance(summary, dict) else {}
    return {}


def batch_files(directory: Path) -> Iterator[tuple[int, Path]]:
    """Yield number and input file of each batch that has one."""
    folder = directory / BATCHES_FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (found := _BATCH_FILE.fullmatch(path.name)) is not None:
            yield int(found[1]), path
