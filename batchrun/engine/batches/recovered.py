"""Completes what a checkpoint has of batches with their files, where it was salvaged, or lost and begun again.

A batch whose row is lost is noted as its file says. Without that, it is noted as one that may have been created: it is
looked up at the provider by its metadata before anything is sent. Lines that are lost are read from the file, and which
requests they are, from that of the keys.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import COLLECTED, CREATED, CREATING, NOT_KNOWN, BatchRow, read_batches
from batchrun.checkpoint.facts import Fact, Known, is_sound
from batchrun.checkpoint.reader import read_fact, read_models, write_fact
from batchrun.checkpoint.tables import KEY_BYTES, pack
from batchrun.endpoint.batches.lines import Place, place_of
from batchrun.engine.batches.files import key_file, noted_batch, noted_run
from batchrun.prompts.kinds.table import kind_of_url
from batchrun.storage.runs import batch_files

_OF_RUN: tuple[Fact[Any], ...] = (facts.IDENTITY, facts.SIMULATED, facts.BATCHES_AT, facts.BATCHES_KEY)
"""What is needed to find batches again, and stands next to their files too."""

_ADD_LINE = "INSERT OR IGNORE INTO batch_lines VALUES (?, ?, ?, ?, NULL, 0, 0, 0, 0, NULL)"

_WITHOUT_BATCH = "WHERE batch NOT IN (SELECT id FROM batches)"
_WAIT = (
    f"DELETE FROM batch_lines {_WITHOUT_BATCH} AND id IS NULL",
    f"UPDATE OR REPLACE batch_lines SET batch = 0, place = id {_WITHOUT_BATCH}",
)
"""Lines of batches that are lost, and have no file, wait for the next one."""


def facts_of_run(notes: Known) -> dict[str, Any]:
    """Return what is needed to find the batches of a run again."""
    return {fact.name: notes.fact(fact) for fact in _OF_RUN}


def complete(connection: sqlite3.Connection, directory: Path, *, is_salvaged: bool) -> list[BatchRow]:
    """Note the batches that are missing in a checkpoint and have a file; return them.

    Args:
        connection: to the checkpoint.
        directory: of the run.
        is_salvaged: whether the checkpoint was salvaged: then lines of batches that it has may be missing too, and what
            is known of a batch may be.
    """
    known = {row.id: row for row in read_batches(connection)}
    files = [(number, path) for number, path in batch_files(directory) if is_salvaged or number not in known]
    if not files and not is_salvaged:
        return []
    found = []
    models = read_models(connection)
    connection.execute("BEGIN IMMEDIATE")
    for number, path in files:
        row = known.get(number) or noted_batch(directory, number)
        if row is not None and not _may_be_open(row, is_known=number in known):
            continue
        labels, url = _labels(path) if row is not None or is_salvaged else ([], "")
        if row is None and labels and labels[0].model in models:
            at_ms = int(1000 * path.stat().st_mtime)
            kind = kind_of_url(url) or "chat"
            row = BatchRow(number, models[labels[0].model], kind, CREATING, len(labels), 0.0, 0.0, at_ms)
        if row is None or not labels:
            continue
        if number not in known:
            found.append(row)
            connection.execute(f"INSERT INTO batches VALUES ({', '.join('?' * len(row))})", row)
        lines = zip(labels, _keys(key_file(directory, number), len(labels)), strict=True)
        connection.executemany(_ADD_LINE, list(_rows(number, lines, models)))
    for statement in _WAIT:
        connection.execute(statement)
    if found:
        _restore_facts(connection, directory)
    connection.execute("COMMIT")
    return found


def _may_be_open(row: BatchRow, *, is_known: bool) -> bool:
    return row.step != COLLECTED if is_known else row.step in (CREATING, CREATED)


def _rows(number: int, lines: Iterator[tuple[Place, bytes]], models: dict[int, str]) -> Iterator[tuple[Any, ...]]:
    """Yield lines as they are stored; where their models are lost, they are for no request until the job is read."""
    for place, key in lines:
        label = pack(*place)
        if place.model in models or key != NOT_KNOWN:
            yield number, label, label if place.model in models else None, key


def _keys(path: Path, count: int) -> list[bytes]:
    """Return the keys of the lines of a batch; none of them is known where their file is not whole."""
    content = path.read_bytes() if path.exists() else b""
    if len(content) != count * KEY_BYTES:
        return [NOT_KNOWN] * count
    return [content[first : first + KEY_BYTES] for first in range(0, len(content), KEY_BYTES)]


def _restore_facts(connection: sqlite3.Connection, directory: Path) -> None:
    noted = noted_run(directory)
    for fact in _OF_RUN:
        value = noted.get(fact.name)
        if value is not None and read_fact(connection, fact) is None and is_sound(fact.name, fact.encoded(value)):
            write_fact(connection, fact, value)


def _labels(path: Path) -> tuple[list[Place], str]:
    """Return the places of all lines, and their URL; cut off a last line that was not completed."""
    places, url = [], ""
    with path.open("rb+") as file:
        end = 0
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(end)
                break
            end += len(line)
            read = orjson.loads(line)
            url = read["url"]
            if (place := place_of(read["custom_id"])) is not None:
                places.append(place)
    return places, url
