"""Forgets batches that were never created, where what they would bring is not what the run needs now.

Their files were written, perhaps uploaded, and nothing was paid. Created after an edit, or after other requests have
answered their rows, they would be paid and not used.
"""

import sqlite3
from pathlib import Path

from batchrun.checkpoint.batch_tables import COLLECTED, UPLOADED, WRITING, WRITTEN
from batchrun.checkpoint.batches import PUT_BACK
from batchrun.engine.batches.files import input_file, remove_folder, remove_others

_OPEN_LINES = """
SELECT count(*) FROM batch_lines WHERE batch = batches.id AND id IS NOT NULL AND id NOT IN (SELECT id FROM outcomes)
"""

_UNSENT = f"""
SELECT id, step, requests = ({_OPEN_LINES}) FROM batches WHERE step IN (?, ?, ?)
"""

_OPEN = "SELECT id FROM batches WHERE step <> ?"


def forget_unsent(connection: sqlite3.Connection, directory: Path, *, is_by_batch: bool) -> None:
    """Have requests of batches that were never created wait for new ones, unless all are open and sent in batches now.

    Files stay of batches only that are open.

    Args:
        connection: to the checkpoint, which fits the job.
        directory: of the run.
        is_by_batch: whether the run sends in batches now.
    """
    found = connection.execute(_UNSENT, (WRITING, WRITTEN, UPLOADED)).fetchall()
    useless = [
        number
        for number, step, is_whole in found
        if not (is_by_batch and is_whole and step != WRITING and input_file(directory, number).exists())
    ]
    connection.execute("BEGIN IMMEDIATE")
    for statement in PUT_BACK:
        connection.executemany(statement, [(each,) for each in useless])
    connection.execute("DELETE FROM batch_lines WHERE batch = 0 AND id IN (SELECT id FROM outcomes)")
    connection.execute("COMMIT")
    remove_others(directory, {number for (number,) in connection.execute(_OPEN, (COLLECTED,))})
    remove_folder(directory)
