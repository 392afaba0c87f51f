"""Gives rows that an older version stored what newer rows have: a packed body and a checksum.

Theory of operation. It is done in place, some rows with each transaction, in the order of their ids; a fact notes from
which row on it is still to be done. So it can be interrupted at any moment, and continues when the next run begins.
Packed rows are shorter, so that no page of the file overflows: the file does not grow. Nor does it shrink: its pages
are only less full. Each body is unpacked again and compared before it replaces the old one.
"""

import sqlite3
from collections.abc import Callable

from batchrun.checkpoint.checksums import checksum
from batchrun.checkpoint.facts import UNCHECKED
from batchrun.checkpoint.packing import Packer, Unpacker, read_dictionaries
from batchrun.checkpoint.reader import read_fact, write_fact
from batchrun.checkpoint.store import Store
from batchrun.records import summed

_MANY = 100_000
"""From how many rows on it is announced: these take two seconds."""

_PER_MIN = 3_000_000
"""How many take a minute."""

_ROWS = 2000
"""How many one transaction changes: 20 to 50 ms."""

_CONTENT = "key, kind, error, http_status, body"
_TABLES = (("outcomes", "id"), ("retired", "rowid"))


def bring_up_to_date(store: Store, say: Callable[[str], None]) -> None:
    """Do it. Of 1,000,000 rows of 600 bytes it took 12 s of CPU, and 37 s on a busy machine.

    Args:
        store: open, not started; does not close meanwhile, except between two transactions.
        say: prints a line, where there are many rows.
    """
    sums = summed(store.totals.values())
    packer = Packer()
    with store.using() as connection:
        start = read_fact(connection, UNCHECKED)
        if start is None:
            return
        packer.load(connection)
        packer.keep_up(connection, sums.completed)
    if sums.requests - (start >> 24) > _MANY:
        minutes = max(1, round((sums.requests - (start >> 24)) / _PER_MIN))
        say(
            f"packing the rows that an older version stored, once: about {minutes} min; interrupted, it "
            "continues with the next run"
        )
    for table, place in _TABLES:
        rows = 1
        while rows:
            with store.using() as connection:
                start, rows = _some(connection, packer, table, place, start)
        start = 0
    with store.using() as connection:
        connection.execute("DELETE FROM facts WHERE name = ?", (UNCHECKED.name,))
    store.reload()


def _some(connection: sqlite3.Connection, packer: Packer, table: str, place: str, start: int) -> tuple[int, int]:
    """Change the next rows in one transaction; return where to go on, and how many there were."""
    query = f"SELECT {place}, {_CONTENT} FROM {table} WHERE {place} >= ? AND checksum IS NULL ORDER BY 1 LIMIT ?"
    rows = connection.execute(query, (start, _ROWS)).fetchall()
    if not rows:
        return start, 0
    unpacker = Unpacker(read_dictionaries(connection))
    changes = []
    for number, key, kind, error, status, body in rows:
        packed, dictionary = packer.pack(body)
        if unpacker.unpack_all([packed], [dictionary]) != [body]:
            packed, dictionary = body, None
        changes.append((packed, checksum(key, kind, error, status, packed), dictionary, number))
    after = int(rows[-1][0]) + 1
    if after <= start:  # a damaged one: it would go on without end
        raise sqlite3.DatabaseError("its rows are not in the order of their numbers")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(f"UPDATE {table} SET body = ?, checksum = ?, dictionary = ? WHERE {place} = ?", changes)
        if table == "outcomes":
            write_fact(connection, UNCHECKED, after)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return after, len(rows)
