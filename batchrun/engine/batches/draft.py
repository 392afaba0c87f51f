"""A batch that is being written: its file, its lines in the checkpoint, and what it can cost at most."""

import os
import time
from pathlib import Path

from batchrun.checkpoint.batch_tables import WRITING, WRITTEN, BatchRow
from batchrun.checkpoint.batches import BatchLog
from batchrun.endpoint.batches.lines import Place, line_of
from batchrun.endpoint.pool.budget import Amount
from batchrun.endpoint.renaming import renamed
from batchrun.engine.batches.files import FOLDER, input_file, key_file, make_folder, note_batch
from batchrun.records import BatchLine, Request
from batchrun.storage.force import force_names

_LINES_AT_ONCE = 200
"""Lines that are noted together."""


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
        self._directory, path = directory, input_file(directory, number)
        make_folder(directory)
        self._file, self._keys = path.open("wb"), key_file(directory, number).open("wb")
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
        self._keys.write(request.key)
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
        for file in (self._file, self._keys):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        folder = self._directory / FOLDER
        for each in (folder, folder.parent):  # a file is found by its name
            force_names(each)
        self._note_lines()
        row = self._row(WRITTEN)
        note_batch(self._directory, row)
        self._log.note(row)
        return row

    def abandon(self) -> None:
        """Close the file of a batch that is not completed."""
        self._file.close()
        self._keys.close()

    def _note_lines(self) -> None:
        self._log.add_lines(self._lines)
        self._lines = []

    def _row(self, step: str) -> BatchRow:
        return BatchRow(self.number, self.model, self.kind, step, self.requests, *self.held, int(time.time() * 1000))
