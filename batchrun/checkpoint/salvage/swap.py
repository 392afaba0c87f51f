"""Replaces a damaged checkpoint by a new one, so that a crash at any moment leaves one in place and loses none.

The damaged file and its log get a second name first. Then the log, which SQLite would read into the new file, loses its
old name; then the new file takes the place in one step. After a crash between these two the damaged file stands in
place without its log: it is known by being the same as the one that was kept, which has it.
"""

import filecmp
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from batchrun.checkpoint import in_flight
from batchrun.checkpoint.tables import FILE_NAME, LOGS
from batchrun.storage.force import force


class Damaged(NamedTuple):
    """A damaged checkpoint and its log."""

    file: Path
    log: Path


def damaged_files(directory: Path) -> Damaged:
    """Return where the damaged file of a directory is to be read: in its place, or where it was kept before a crash."""
    path = directory / FILE_NAME
    log = path.with_name(path.name + "-wal")
    if path.exists() and not has_content(log):
        for kept in directory.glob(f"damaged.*{FILE_NAME}"):
            if filecmp.cmp(kept, path, shallow=False):
                return Damaged(kept, kept.with_name(kept.name + "-wal"))
    return Damaged(path, log)


def put_in_place(directory: Path, new: Path, damaged: Damaged, made_from_it: Sequence[str]) -> Path:
    """Keep a directory's damaged checkpoint under another name, and put a new one in its place.

    Args:
        directory: of the run.
        new: the new checkpoint, in the same directory.
        damaged: what `damaged_files` found.
        made_from_it: names of files that will be made again from the new checkpoint. Copies of these are kept too.

    Returns:
        The damaged file's new name.

    Raises:
        OSError: it cannot be done; then the damaged file is where it was.
    """
    path = directory / FILE_NAME
    kept = damaged.file
    if damaged.file == path:
        kept = next(name for name in _names(directory) if not _is_taken(name, made_from_it))
        for name in made_from_it:
            name_again(directory / name, kept_name(kept, name))
        for suffix in ("-wal", "-journal"):  # before the file itself: so a kept file always has its log
            if has_content(directory / (FILE_NAME + suffix)):
                name_again(directory / (FILE_NAME + suffix), kept.with_name(kept.name + suffix))
        name_again(path, kept)
    _sync(new)
    _sync(directory)
    for suffix in LOGS:
        _remove(directory / (FILE_NAME + suffix))
    _sync(directory)
    new.replace(path)
    _sync(directory)
    (directory / in_flight.FILE_NAME).unlink(missing_ok=True)  # it belongs to the damaged checkpoint
    return kept


def kept_name(kept: Path, name: str) -> Path:
    """Return the name under which a file is kept together with a damaged checkpoint."""
    return kept.with_name(kept.name.replace("damaged.", "before-salvage.", 1).replace(FILE_NAME, name))


def _names(directory: Path) -> Iterator[Path]:
    yield directory / f"damaged.{FILE_NAME}"
    for number in itertools.count(2):
        yield directory / f"damaged.{number}.{FILE_NAME}"


def _is_taken(kept: Path, made_from_it: Sequence[str]) -> bool:
    names = [kept.with_name(kept.name + suffix) for suffix in ("", *LOGS)]
    return any(name.exists() for name in [*names, *(kept_name(kept, each) for each in made_from_it)])


def has_content(path: Path) -> bool:
    """Return whether there is a file that is not empty."""
    return path.exists() and path.stat().st_size > 0


def name_again(old: Path, new: Path) -> None:
    """Give a file a second name; copy it if the file system has no hard links."""
    if not old.exists():
        return
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)
        _sync(new)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with suppress(OSError):  # not every system can force a folder
        force(path)
