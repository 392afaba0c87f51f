"""How the tables of older versions become those of this one: one list, in order, from the first version on.

Whoever changes a table of `schema` adds what brings the table before to the table now, and an older file is brought
along step by step, in one transaction, when a run opens it. What only looks (`status`, `export`) changes no file: it
works on a temporary copy.
"""

import sqlite3
from collections.abc import Sequence

Migration = tuple[str, ...]
"""SQL statements that bring the tables of one version to the next."""

FIRST = 1
"""The oldest version that there is."""

MIGRATIONS: tuple[Migration, ...] = ()
"""The first one makes version 2 of version 1, and so on."""


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring a file to the version that the migrations end at: all of the way, or not at all.

    Args:
        connection: in autocommit mode, to a checkpoint that is not newer than that.
        migrations: the first one is for a file of version `FIRST`.

    Raises:
        sqlite3.Error: it cannot be done; then nothing is changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for statements in migrations[version - FIRST :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FIRST + len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
