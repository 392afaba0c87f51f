"""Whether each outcome has a place in its run: row, model and sample, which no checksum covers.

A number that changed on the disk is noticed by SQLite where it stands out of order. Elsewhere it gives an answer to a
sample, a model or a row that the run does not have: its own row would be sent again, or look as if it had no answer.
"""

import sqlite3
from pathlib import Path

from batchrun.checkpoint.salvage.examine import CHECKED_BYTES
from batchrun.checkpoint.tables import pack

_SETTLED = "SELECT id >> 16 & 255, count(*), max(id & 65535), max(id) FROM outcomes GROUP BY 1"
_COUNTED = "SELECT model, completed + failed FROM totals WHERE completed + failed > 0"


def are_misplaced(connection: sqlite3.Connection, path: Path, samples: int, rows: int | None) -> bool:
    """Return whether outcomes stand where the run has no request, given how many samples and rows it has.

    A file of more than `CHECKED_BYTES` is taken as it is, as by `examine`.

    Args:
        connection: to the checkpoint, which fits the job.
        path: of the checkpoint.
        samples: of each row and model.
        rows: of the input; None where that is not known, or only some of them are used.
    """
    if path.stat().st_size > CHECKED_BYTES:
        return False
    settled = connection.execute(_SETTLED).fetchall()
    if {model: count for model, count, *_ in settled} != dict(connection.execute(_COUNTED)):
        return True
    end = None if rows is None else pack(rows, 0, 0)
    return any(sample >= samples or (end is not None and last >= end) for *_, sample, last in settled)
