"""Reads the files of a batch, in a thread and a few hundred lines at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path

import orjson

from batchrun.answers.raw_json import object_at
from batchrun.endpoint.batches.lines import Answered, Place, place_of, read_line
from batchrun.errors import RunDirectoryError

_AT_ONCE = 256


async def answers_in(files: list[Path], hidden: Callable[[bytes], bytes]) -> AsyncIterator[list[Answered]]:
    """Yield what the lines of some files say, many at once; lines that name no request are left out.

    Args:
        files: that were downloaded.
        hidden: returns a line without secrets.

    Raises:
        RunDirectoryError: a file cannot be read.
    """
    answers = _answers(files, hidden)
    while some := await asyncio.to_thread(lambda: list(islice(answers, _AT_ONCE))):
        yield some


def _answers(files: list[Path], hidden: Callable[[bytes], bytes]) -> Iterator[Answered]:
    for path in files:
        try:
            with path.open("rb") as file:
                for line in file:
                    answered = read_line(hidden(line))
                    if answered is not None:
                        yield answered
        except OSError as problem:
            cure = "make it readable, and run the same command again to resume"
            raise RunDirectoryError(f"{path}: cannot be read ({problem.strerror}); {cure}") from problem


class Sent:
    """The input file of a batch; it may be gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts: dict[Place, int] | None = None

    def body_of(self, place: Place) -> bytes | None:
        """Return the body that a request was sent with."""
        if self._starts is None:
            self._starts = self._read()
        if place not in self._starts:
            return None
        with self._path.open("rb") as file:
            file.seek(self._starts[place])
            return object_at(file.readline(), "body")

    def places(self) -> list[Place | None]:
        """Return which request each line is."""
        try:
            with self._path.open("rb") as file:
                return [place_of(orjson.loads(line).get("custom_id")) for line in file]
        except OSError:
            return []

    def _read(self) -> dict[Place, int]:
        starts: dict[Place, int] = {}
        start = 0
        try:
            with self._path.open("rb") as file:
                for line in file:
                    if (place := place_of(orjson.loads(line).get("custom_id"))) is not None:
                        starts[place] = start
                    start += len(line)
        except OSError:
            return {}
        return starts
