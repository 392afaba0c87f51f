"""Completes what a salvage has found of batches with their files, which stay in the run directory until the end.

A batch whose row is lost is noted as one that may have been created: it is looked up at the provider by its metadata
before anything is sent. A line that is lost is read from the file; which request it is, its label tells.
"""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import orjson

from batchrun.checkpoint.batch_tables import COLLECTED, CREATING, NOT_KNOWN, BatchRow, read_batches
from batchrun.checkpoint.reader import read_models
from batchrun.checkpoint.tables import pack
from batchrun.endpoint.batches.lines import place_of
from batchrun.engine.batches.draft import FOLDER
from batchrun.prompts.kinds.table import kind_of_url

_INPUT = re.compile(r"(\d{4,})\.jsonl")

_ADD_LINE = "INSERT OR IGNORE INTO batch_lines VALUES (?1, ?2, ?2, ?3, NULL, 0, 0, 0, 0, NULL)"

_WITHOUT_BATCH = "WHERE batch NOT IN (SELECT id FROM batches)"
_WAIT = (
    f"DELETE FROM batch_lines {_WITHOUT_BATCH} AND id IS NULL",
    f"UPDATE OR REPLACE batch_lines SET batch = 0, place = id {_WITHOUT_BATCH}",
)
"""Lines of batches that are lost, and have no file, wait for the next one."""


def complete(connection: sqlite3.Connection, directory: Path) -> None:
    """Note the batches and the lines that are missing in a checkpoint and have a file.

    Args:
        connection: to the checkpoint.
        directory: of the run.
    """
    connection.execute("BEGIN IMMEDIATE")
    models = read_models(connection)
    known = {row.id: row for row in read_batches(connection)}
    for number, path in _files(directory):
        row = known.get(number)
        if row is not None and row.step == COLLECTED:
            continue
        lines = list(_lines(path))
        labels = [place for label, _ in lines if (place := place_of(label)) is not None and place.model in models]
        if not labels:
            continue
        if row is None:
            kind = kind_of_url(lines[0][1]) or "chat"
            at_ms = int(1000 * path.stat().st_mtime)
            row = BatchRow(number, models[labels[0].model], kind, CREATING, len(labels), 0.0, 0.0, at_ms)
            connection.execute(f"INSERT INTO batches VALUES ({', '.join('?' * len(row))})", row)
        ids = [pack(place.row, place.model, place.sample) for place in labels]
        connection.executemany(_ADD_LINE, [(number, each, NOT_KNOWN) for each in ids])
    for statement in _WAIT:
        connection.execute(statement)
    connection.execute("COMMIT")


def _files(directory: Path) -> Iterator[tuple[int, Path]]:
    folder = directory / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (found := _INPUT.fullmatch(path.name)) is not None:
            yield int(found[1]), path


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield label and URL of each line; cut off a last line that was not completed."""
    with path.open("rb+") as file:
        end = 0
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(end)
                return
            end += len(line)
            read = orjson.loads(line)
            yield read["custom_id"], read["url"]
