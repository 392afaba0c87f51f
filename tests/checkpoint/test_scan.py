"""Outcomes are read as they are stored, whether SQLite compares their columns or hands them over."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import pytest

from batchrun.checkpoint.scan import PIECE_BYTES, Scan
from batchrun.checkpoint.tables import OUTCOME_COLUMNS, TABLES

EVERYTHING = (0, 1 << 63 - 1)

USUAL: dict[str, Any] = {"key": b"k", "http_status": 200, "attempts": 1, "throttled": 0, "body": b"", "dictionary": 1}
OTHERS: dict[str, Any] = {"kind": "timeout", "http_status": None, "attempts": 3, "custom_id": "x", "reply": 7}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(TABLES)
        yield connection


def write(connection: sqlite3.Connection, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Store rows with these values; return all of their columns."""
    stored = [
        tuple(({"id": number, "finished_at_ms": 5} | row).get(name) for name in OUTCOME_COLUMNS)
        for number, row in enumerate(rows)
    ]
    marks = ", ".join("?" for _ in OUTCOME_COLUMNS)
    connection.executemany(f"INSERT INTO outcomes VALUES ({marks})", stored)
    return stored


def read(connection: sqlite3.Connection, **options: Any) -> list[tuple[Any, ...]]:
    """Return the rows that a scan finds; checks that its samples are values of their columns."""
    found: list[tuple[Any, ...]] = []
    for piece in Scan(connection).pieces(*EVERYTHING, **options):
        columns = piece.columns()
        assert list(columns) == list(OUTCOME_COLUMNS)
        assert {len(values) for values in columns.values()} == {piece.rows}
        for values, sample in zip(columns.values(), piece.samples(), strict=True):
            assert set(sample) == set(values)
        found += zip(*columns.values(), strict=True)
    return found


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 1.0])
def test_rows_that_differ_are_read_as_they_are(connection: sqlite3.Connection, share: float) -> None:
    """However many they are, and whatever was usual before them."""
    random = Random(share)
    rows = []
    for _ in range(9000):
        names = [name for name in OTHERS if random.random() < share]
        rows.append(USUAL | {name: OTHERS[name] for name in names})
    assert read(connection) == []
    stored = write(connection, rows)
    assert read(connection) == stored
    assert read(connection, is_failed=True) == [row for row in stored if row[OUTCOME_COLUMNS.index("kind")]]


def test_what_is_usual_may_change_and_come_back(connection: sqlite3.Connection) -> None:
    """Between a null and a number, too, which SQLite does not hold to be equal or unequal."""
    first, second = USUAL | {"cached_tokens": None}, USUAL | {"cached_tokens": 0, "attempts": 2}
    stored = write(connection, [*[first] * 5000, *[second] * 5000, *[first] * 5000])
    assert read(connection) == stored


def test_values_of_a_wrong_type_are_not_taken_for_usual_ones(connection: sqlite3.Connection) -> None:
    """SQLite stores what it is given: such a row is damaged, and what reads it must see that."""
    stored = write(connection, [USUAL] * 6000)
    connection.execute("UPDATE outcomes SET throttled = x'00', http_status = 'ok', body = 5 WHERE id = 5000")
    found = read(connection)
    assert found[:5000] + found[5001:] == stored[:5000] + stored[5001:]
    changed = dict(zip(OUTCOME_COLUMNS, found[5000], strict=True))
    assert (changed["throttled"], changed["http_status"], changed["body"]) == (b"\0", "ok", 5)


def test_most_columns_are_not_handed_over(connection: sqlite3.Connection) -> None:
    """Those that have one value in nearly all rows, from the second piece on."""
    write(
        connection,
        [USUAL | {"latency_s": float(row)} | ({"attempts": 2} if row % 100 == 0 else {}) for row in range(9000)],
    )
    scan, handed_over = Scan(connection), []
    connection.set_trace_callback(handed_over.append)
    assert sum(piece.rows for piece in scan.pieces(*EVERYTHING)) == 9000
    asked = [text.removeprefix("SELECT ").split(",")[:4] for text in handed_over if "json_each" not in text]
    assert asked[0] == ["id", " key", " custom_id", " kind"]
    assert [[each.strip() for each in columns[:3]] for columns in asked[1:]] == [["id", "latency_s", "body"]] * len(
        asked[1:]
    )
    assert len(asked) < 9


@pytest.mark.parametrize("body_bytes", [10_000, PIECE_BYTES // 2, 2 * PIECE_BYTES])
def test_a_piece_is_bounded_in_rows_and_in_bytes(connection: sqlite3.Connection, body_bytes: int) -> None:
    """It may be too long by the rows between two looks, which are few where they are large."""
    large = min(3000, 6 * PIECE_BYTES // body_bytes)
    write(connection, [USUAL | {"body": bytes(body_bytes if row < large else 10)} for row in range(large + 6000)])
    pieces = [piece.columns()["body"] for piece in Scan(connection).pieces(*EVERYTHING)]
    assert max(map(len, pieces)) == 2048
    assert max(sum(map(len, bodies)) for bodies in pieces) < PIECE_BYTES + max(body_bytes, 64 * 10_000)
