"""The rows of a page are read as SQLite reads them; bytes whose lengths do not add up are not a record."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from batchrun.checkpoint.salvage.damaged import DamagedFile
from batchrun.checkpoint.salvage.pages import Record, records

PAGE = 4096


def made(path: Path, *statements: tuple[str, list[Any]], page_bytes: int = PAGE) -> bytes:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        for statement, values in statements:
            connection.executemany(statement, values) if values else connection.execute(statement)
    return path.read_bytes()


def any_value(random: Random) -> Any:
    size = random.choice([0, 1, 60, 128, 900, 5000, 20_000])
    return random.choice(
        [
            *(None, 0, 1, -1, 127, -128, 128, 1 << 15, -(1 << 23), 1 << 31, 1 << 40, -(1 << 63), (1 << 63) - 1),
            *(0.5, -1e300, "", "ö" * size, random.randbytes(size)),
        ]
    )


def test_every_value_is_read_as_sqlite_reads_it(tmp_path: Path) -> None:
    """Of any type and length, in pages of any size, under any number; of a table and of an index."""
    random = Random(1)
    for page_bytes in (512, 4096, 65536):
        path = tmp_path / str(page_bytes)
        numbers = sorted({random.getrandbits(random.randint(1, 63)) - (1 << 62) for _ in range(150)})
        rows = [(number, any_value(random), any_value(random), any_value(random)) for number in numbers]
        made(
            path,
            ("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)", []),
            ("INSERT INTO t VALUES (?, ?, ?, ?)", rows),
            ("CREATE TABLE u (name TEXT PRIMARY KEY, a) WITHOUT ROWID", []),
            ("INSERT INTO u VALUES (?, ?)", [(str(number), value) for number, value, *_ in rows]),
            page_bytes=page_bytes,
        )
        with DamagedFile(path, tmp_path / "none") as file:
            found = [each.record for each in file.records()]
        table = {record.rowid: record.values for record in found if len(record.values) == 4}
        index = {record.values[0]: record.values[1] for record in found if record.rowid is None}
        assert table == {number: [None, *values] for number, *values in rows}
        assert index == {str(number): value for number, value, *_ in rows}


def read(data: bytes, number: int) -> list[Record]:
    def fetch(number: int) -> bytes | None:
        page = data[(number - 1) * PAGE : number * PAGE]
        return page if len(page) == PAGE else None

    return list(records(number, fetch(number) or b"", fetch, PAGE, len(data)))


def long_row(path: Path) -> bytearray:
    """Make a file whose second page has one row, which continues on the third."""
    return bytearray(made(path, ("CREATE TABLE t (a)", []), ("INSERT INTO t VALUES (?)", [(b"x" * 6000,)])))


def test_a_row_that_continues_on_a_wrong_page_is_not_read(tmp_path: Path) -> None:
    """Its chain of pages is longer than it, or has no end, or leads nowhere: it is another row's."""
    sound = long_row(tmp_path / "a")
    assert read(bytes(sound), 2) == [Record(1, [b"x" * 6000])]
    for following in (2, 3, 99):
        data = sound.copy()
        data[2 * PAGE : 2 * PAGE + 4] = following.to_bytes(4, "big")
        assert read(bytes(data), 2) == []


def test_a_row_whose_lengths_do_not_add_up_is_none(tmp_path: Path) -> None:
    """Whatever else could be read of it."""
    data = bytearray(made(tmp_path / "a", ("CREATE TABLE t (a, b)", []), ("INSERT INTO t VALUES ('ab', 'cd')", [])))
    at = data.rindex(b"abcd")
    assert data[at - 3 : at] == bytes([3, 17, 17])  # header of three bytes, two texts of two
    assert read(bytes(data), 2) == [Record(1, ["ab", "cd"])]
    data[at - 1] = 15
    assert read(bytes(data), 2) == []
    data[at - 1] = 11  # a type that is never written
    assert read(bytes(data), 2) == []
