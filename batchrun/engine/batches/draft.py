"""A batch that is being written: its file, its lines in the checkpoint, and what it can cost at most."""

import contextlib
import os
import time
from collections.abc import Collection
from pathlib import Path

from batchrun.checkpoint.batch_tables import WRITING, WRITTEN, BatchRow
from batchrun.checkpoint.batches import BatchLog
from batchrun.endpoint.batches.lines import Place, line_of
from batchrun.endpoint.pool.budget import Amount
from batchrun.endpoint.renaming import renamed
from batchrun.errors import RunDirectoryError
from batchrun.records import BatchLine, Request
from batchrun.storage.force import force_names

FOLDER = "batches"
"""Folder of a run directory: files of batches that are not collected yet."""

_LINES_AT_ONCE = 200
"""Lines that are noted together."""


def input_file(directory: Path, number: int) -> Path:
    """Return the path of the input file of a batch."""
    return directory / FOLDER / f"{number:04}.jsonl"


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
    for path in (directory / FOLDER).glob("[0-9]*.jsonl*"):
        if int(path.name.partition(".")[0]) not in numbers:
            path.unlink(missing_ok=True)


def remove_folder(directory: Path) -> None:
    """Remove the folder of these files at the end of an execution, unless batches are left.

    Not before: another thread may be about to open a file in it.
    """
    with contextlib.suppress(OSError):  # it is not empty, or not there
        (directory / FOLDER).rmdir()


class Draft:
    """A batch that is being written."""

    def __init__(self, log: BatchLog, directory: Path, number: int, first: Request) -> None:
        """Begin a file.

        Args:
            log: of the batches.
            directory: of the run.
            number: of the batch.
            first: a request whose model and kind all its lines have.
        """
        self._log, self.number = log, number
        self.path = input_file(directory, number)
        make_folder(directory)
        self._file = self.path.open("wb")
        self.model, self.kind = first.model, first.kind
        self.requests = self.size_bytes = 0
        self.tokens = 0.0
        """About how many its prompts have."""
        self.held = Amount()
        self._lines: list[BatchLine] = []
        self._log.note(self._row(WRITING))

    def text_of(self, request: Request, line: BatchLine | None, its_model: str) -> bytes:
        """Return the line of a request; of one that is asked again, with what is asked then."""
        place = Place(request.row, self._log.number_of(request.model), request.sample)
        body = request.body if line is None or line.body is None else line.body
        return line_of(place, request, renamed(body, request.model, its_model))

    def add(self, request: Request, line: BatchLine | None, text: bytes, worst: Amount, tokens: float) -> None:
        """Write a line."""
        self._file.write(text)
        self.requests += 1
        self.size_bytes += len(text)
        self.tokens += tokens
        self.held = self.held.plus(worst)
        number = self._log.id_of(request)
        known = line or BatchLine(0, number, number, request.key, request.custom_id)
        self._lines.append(known._replace(batch=self.number, custom_id=request.custom_id))
        if len(self._lines) >= _LINES_AT_ONCE:
            self._note_lines()

    def close(self) -> BatchRow:
        """Complete the file and the notes; return the batch. Blocks while the file is forced to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        for folder in (self.path.parent, self.path.parent.parent):  # a file is found by its name
            force_names(folder)
        self._note_lines()
        row = self._row(WRITTEN)
        self._log.note(row)
        return row

    def abandon(self) -> None:
        """Close the file of a batch that is not completed."""
        self._file.close()

    def _note_lines(self) -> None:
        self._log.add_lines(self._lines)
        self._lines = []

    def _row(self, step: str) -> BatchRow:
        return BatchRow(self.number, self.model, self.kind, step, self.requests, *self.held, int(time.time() * 1000))
