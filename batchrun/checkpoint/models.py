"""The numbers of the models of one checkpoint: a model gets the next number when it is seen first."""

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

from batchrun.checkpoint.queue import WriteQueue
from batchrun.checkpoint.reader import read_models
from batchrun.checkpoint.tables import MODELS, Asked, pack
from batchrun.errors import RunDirectoryError


class ModelNumbers:
    """Which number each model has."""

    def __init__(self, path: Path, queue: WriteQueue) -> None:
        """Prepare; nothing is known before `load`.

        Args:
            path: of the checkpoint, for messages.
            queue: gets the names of new models.
        """
        self._path, self._queue = path, queue
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()

    def load(self, connection: sqlite3.Connection) -> None:
        """Read the numbers that the checkpoint has."""
        self._numbers = {name: number for number, name in read_models(connection).items()}

    @property
    def numbers(self) -> Mapping[str, int]:
        """Number of each model so far, by its name: a copy, since the reader's thread may add one meanwhile."""
        return dict(self._numbers)

    def number_of(self, model: str) -> int:
        """Return the number of a model; a new one gets the next. From any thread.

        Raises:
            RunDirectoryError: there are too many models.
        """
        number = self._numbers.get(model)
        return self._new_number(model) if number is None else number

    def _new_number(self, model: str) -> int:
        with self._lock:
            number = self._numbers.get(model, len(self._numbers))  # another thread may have given it one
            if number >= MODELS:
                raise RunDirectoryError(f"{self._path}: more than {MODELS} models in one run; split the input by model")
            if model not in self._numbers:
                self._queue.run("INSERT INTO models VALUES (?, ?)", number, model)
                self._numbers[model] = number
        return number

    def id_of(self, asked: Asked) -> int:
        """Return the number under which a request's outcome is kept."""
        return pack(asked.row, self.number_of(asked.model), asked.sample)
