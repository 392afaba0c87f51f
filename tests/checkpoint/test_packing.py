"""Answers that are alike take a part of their room, and each is read back as it was."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
import zstandard
from harness.alike import settled
from harness.checkpoints import failure, outcomes_in, requests
from harness.settled import body_of

from batchrun.checkpoint import packing
from batchrun.checkpoint.contents import Contents
from batchrun.checkpoint.file import PAGE_BYTES, VECTOR_PAGE_BYTES
from batchrun.checkpoint.packing import (
    LABEL,
    LEARN_ROWS,
    Packer,
    Unpacker,
    read_dictionaries,
    size_of,
    write_dictionary,
)
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, TABLES
from batchrun.errors import DamagedError
from batchrun.records import Outcome


def write(directory: Path, outcomes: list[Outcome], at_once: int = 100) -> None:
    with Store(directory) as store:
        store.model_id("m")
        for first in range(0, len(outcomes), at_once):
            for each in outcomes[first : first + at_once]:
                store.put(each)
            store._writer.commit(is_last=False)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(TABLES)
        yield connection


def stored(directory: Path, what: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return connection.execute(f"SELECT {what} FROM outcomes ORDER BY id").fetchall()


def test_answers_are_packed_from_when_there_are_enough(tmp_path: Path) -> None:
    """And all are read back as they were, also after another execution."""
    outcomes = [*settled(LEARN_ROWS + 200), failure(requests("f", first=5000)[0])]
    write(tmp_path, outcomes)
    assert outcomes_in(tmp_path) == outcomes
    packed = [dictionary for (dictionary,) in stored(tmp_path, "dictionary")]
    assert packed == [None] * LEARN_ROWS + [1] * 200 + [None]
    more = settled(100, first=6000)
    write(tmp_path, more)
    assert outcomes_in(tmp_path) == [*outcomes, *more]
    assert stored(tmp_path, "dictionary")[-100:] == [(1,)] * 100
    sizes = [len(body) for (body,) in stored(tmp_path, "body")[-100:]]
    assert sum(sizes) < 0.5 * sum(len(each.body or b"") for each in more)


def test_the_dictionary_is_copied_each_time_there_are_twice_as_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All packed answers are lost without it, so one hole in the file must not take it."""
    monkeypatch.setattr(packing, "LEARN_ROWS", 120)
    outcomes = settled(1000)
    write(tmp_path, outcomes)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        copies = connection.execute("SELECT number, content FROM dictionaries ORDER BY id").fetchall()
        assert copies == copies[:1] * 5  # two at 200 rows, then at 300, 500 and 1,000, since 100 are committed at once
        connection.execute("UPDATE dictionaries SET content = zeroblob(100) WHERE id IN (1, 2, 3, 5)")
        connection.commit()
    assert outcomes_in(tmp_path) == outcomes


def test_the_first_copies_of_the_dictionary_are_far_apart(tmp_path: Path) -> None:
    """Otherwise one damage, such as a file that lost its end, costs all packed answers of a run of 2,000 rows."""
    write(tmp_path, settled(2 * LEARN_ROWS + 100))
    content = (tmp_path / FILE_NAME).read_bytes()
    pages = [found.start() // PAGE_BYTES for found in re.finditer(LABEL.encode(), content)]
    assert pages[-1] - pages[0] > 2


def test_no_two_copies_of_the_dictionary_are_on_one_page(connection: sqlite3.Connection) -> None:
    """Whatever its length: what damages one leaves the other."""
    for length in (1, 700, 3900):
        for _ in range(4):
            write_dictionary(connection, length, bytes(length))
    pages = "SELECT count(*) FROM dbstat WHERE name = 'dictionaries' AND pagetype = "
    try:
        assert connection.execute(f"{pages} 'leaf'").fetchone() == (12,)
        assert connection.execute(f"{pages} 'overflow'").fetchone() == (0,)
    except sqlite3.OperationalError:  # this SQLite has no such table
        assert connection.execute("PRAGMA page_count").fetchone() > (12,)
    assert read_dictionaries(connection) == {length: bytes(length) for length in (1, 700, 3900)}


def test_without_any_copy_the_file_is_damaged(tmp_path: Path) -> None:
    """Nothing is made up."""
    write(tmp_path, settled(LEARN_ROWS + 100))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("DELETE FROM dictionaries")
        connection.commit()
    with pytest.raises(DamagedError, match=r"a packed answer cannot be read.*--salvage"):
        outcomes_in(tmp_path)


@pytest.mark.parametrize(
    ("bodies", "is_packed"),
    [
        ([body_of("the same")] * LEARN_ROWS, True),
        ([bytes([row % 256]) for row in range(LEARN_ROWS)], False),
        ([b"x" * 10] * LEARN_ROWS, False),
        ([b""] * LEARN_ROWS, False),
        ([Random(row).randbytes(300) for row in range(LEARN_ROWS)], False),
        ([b"a" * 200 + bytes([row % 100]) for row in range(LEARN_ROWS)], True),
        ([body_of("long " * 5000, row) for row in range(LEARN_ROWS)], True),
        ([body_of("few", row) for row in range(LEARN_ROWS - 1)], False),
    ],
    ids=["the same", "one byte", "short", "empty", "noise", "hardly different", "long", "too few"],
)
def test_whatever_the_answers_are_they_are_packed_where_it_helps(
    connection: sqlite3.Connection, bodies: list[bytes], is_packed: bool
) -> None:
    """From some, zstd cannot learn; with some its process would end."""
    rows = [(row, body) for row, body in enumerate(bodies)]
    columns = "id, key, attempts, throttled, finished_at_ms, body"
    connection.executemany(f"INSERT INTO outcomes ({columns}) VALUES (?, x'', 1, 0, 1, ?)", rows)
    packer = Packer()
    packer.load(connection)
    packer.keep_up(connection, LEARN_ROWS)
    packer.keep_up(connection, LEARN_ROWS)
    assert len(read_dictionaries(connection)) == is_packed
    unpacker = Unpacker(read_dictionaries(connection))
    for body in (*bodies[:3], b"", b"{", b"x" * 100_000, None):
        packed, number = packer.pack(body)
        assert unpacker.unpack_all([packed], [number]) == [body]
        assert size_of(packed, number) == len(body or b"")
        assert (number is not None) <= (len(packed or b"") < len(body or b""))


def test_vectors_are_not_packed(tmp_path: Path) -> None:
    """It would take longer than all else that is done to them."""
    outcomes = settled(LEARN_ROWS + 100)
    with Store(tmp_path, VECTOR_PAGE_BYTES):
        pass
    write(tmp_path, outcomes)
    assert set(stored(tmp_path, "dictionary")) == {(None,)}
    assert outcomes_in(tmp_path) == outcomes


def test_what_cannot_be_unpacked_is_damage(connection: sqlite3.Connection) -> None:
    """Whatever bytes it is."""
    contents = Contents(connection, Path("c"))
    for body in (b"", b"noise", b"\x28\xb5\x2f\xfd" + b"\xff" * 20):
        assert size_of(body, 1) >= len(body)
        with pytest.raises(DamagedError, match="a packed answer cannot be read"):
            contents.bodies([body], [1])


def test_rows_are_read_in_pieces_that_are_bounded_when_they_are_unpacked(connection: sqlite3.Connection) -> None:
    """Stored, all of them are short."""
    body = zstandard.ZstdCompressor().compress(bytes(1 << 20))
    columns = "id, key, attempts, throttled, finished_at_ms, body, dictionary"
    rows = [(row, body if row < 9 else None, 1 if row < 9 else None) for row in range(3009)]
    connection.executemany(f"INSERT INTO outcomes ({columns}) VALUES (?, x'', 1, 0, 1, ?, ?)", rows)
    connection.executescript("INSERT INTO dictionaries VALUES (NULL, '', 1, x'', 0)")
    pieces = list(Contents(connection, Path("c")).pieces(0, 1 << 63 - 1))
    assert [len(piece["id"]) for piece in pieces] == [4, 4, 2040, 961]
    assert [body and len(body) for piece in pieces for body in piece["body"]] == [1 << 20] * 9 + [None] * 3000


def test_a_packed_answer_that_is_damaged_is_one_piece(connection: sqlite3.Connection) -> None:
    """Its head does not tell how long it would be."""
    columns = "id, key, attempts, throttled, finished_at_ms, body, dictionary"
    connection.execute(f"INSERT INTO outcomes ({columns}) VALUES (1, x'', 1, 0, 1, x'6161', 1)")
    with pytest.raises(DamagedError, match="a packed answer cannot be read"):
        list(Contents(connection, Path("c")).pieces(0, 1 << 63 - 1))
