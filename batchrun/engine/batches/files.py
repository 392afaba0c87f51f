"""The files of batches that are not collected yet, in a folder of the run directory.

Next to the requests of a batch stand the key of each, and what is known of the batch. So where the checkpoint is lost,
its batches are found again, and what they answer is not bought a second time.
"""

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import orjson

from batchrun.checkpoint.batch_tables import STEPS, BatchRow
from batchrun.errors import RunDirectoryError
from batchrun.storage.runs import BATCHES_FOLDER

FOLDER = BATCHES_FOLDER

_RUN = "run.json"
"""What all batches have in common."""


def input_file(directory: Path, number: int) -> Path:
    """Return the path of the input file of a batch."""
    return directory / FOLDER / f"{number:04}.jsonl"


def key_file(directory: Path, number: int) -> Path:
    """Return the path of the keys of its requests, one behind the other."""
    return directory / FOLDER / f"{number:04}.keys"


def _note_file(directory: Path, number: int) -> Path:
    return directory / FOLDER / f"{number:04}.json"


def output_files(directory: Path, number: int) -> tuple[Path, Path]:
    """Return the paths of the output file and of the error file of a batch."""
    folder = directory / FOLDER
    return folder / f"{number:04}.output.jsonl", folder / f"{number:04}.errors.jsonl"


def make_folder(directory: Path) -> None:
    """Make the folder of these files, if it is not there: a power cut may have lost its name.

    Raises:
        RunDirectoryError: it cannot be made.
    """
    folder = directory / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        cure = "make room, or make it writable, and run the same command again to resume"
        raise RunDirectoryError(f"{folder}: cannot be made ({problem.strerror}); {cure}") from problem


def remove_others(directory: Path, numbers: Collection[int]) -> None:
    """Remove the files of all batches but some: a kill or a power cut may have left them.

    Args:
        directory: of the run.
        numbers: of the batches whose files stay.
    """
    for path in (directory / FOLDER).glob("[0-9]*"):
        if int(path.name.partition(".")[0]) not in numbers:
            path.unlink(missing_ok=True)


def remove_files(directory: Path, number: int) -> None:
    """Remove all files of a batch; the note first, without which the others say nothing."""
    note = _note_file(directory, number)
    of_batch = (note, _partial(note), key_file(directory, number), input_file(directory, number))
    for path in (*of_batch, *output_files(directory, number)):
        path.unlink(missing_ok=True)


def remove_folder(directory: Path) -> None:
    """Remove the folder of these files at the end of an execution, unless batches are left.

    Not before: another thread may be about to open a file in it.
    """
    folder = directory / FOLDER
    of_run = {folder / _RUN, _partial(folder / _RUN)}
    with contextlib.suppress(OSError):  # it is not empty, or not there
        if of_run.issuperset(folder.iterdir()):
            for path in of_run:
                path.unlink(missing_ok=True)
        folder.rmdir()


def note_batch(directory: Path, row: BatchRow) -> None:
    """Write what is known of a batch, on the disk."""
    _write(_note_file(directory, row.id), row._asdict())


def noted_batch(directory: Path, number: int) -> BatchRow | None:
    """Return what was known of a batch; None where that cannot be read."""
    read = _read(_note_file(directory, number))
    try:
        row = BatchRow(**read)
    except TypeError:
        return None
    return row if row.id == number and row.step in STEPS else None


def note_run(directory: Path, facts: Mapping[str, Any]) -> None:
    """Write what all batches of the run have in common."""
    make_folder(directory)
    _write(directory / FOLDER / _RUN, facts)


def noted_run(directory: Path) -> Mapping[str, Any]:
    """Return what all batches of the run have in common; nothing where that cannot be read."""
    return _read(directory / FOLDER / _RUN)


def _partial(path: Path) -> Path:
    """Return where a file is written first; a kill or a power cut may leave it there."""
    return path.with_name(f"{path.name}.part")


def _write(path: Path, values: Mapping[str, Any]) -> None:
    partial = _partial(path)
    try:
        with partial.open("wb") as file:
            file.write(orjson.dumps(dict(values)))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as problem:
        cure = "make room, or make it writable, and run the same command again to resume"
        raise RunDirectoryError(f"{path}: cannot be written ({problem.strerror}); {cure}") from problem


def _read(path: Path) -> dict[str, Any]:
    try:
        read = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return read if isinstance(read, dict) else {}
