"""A record of a damaged file is taken for a row of the table whose shape it has, or for none."""

from pathlib import Path
from typing import Any

import pytest
from harness.checkpoints import answer, requests, sharing

from batchrun.checkpoint.batch_tables import CREATED, AnswerRow, BatchRow
from batchrun.checkpoint.packing import write_dictionary
from batchrun.checkpoint.salvage.shapes import table_of
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import MODELS, OUTCOME_COLUMNS
from batchrun.records import BatchLine, Usage

BATCH = BatchRow(1, "m", "chat", CREATED, 40, 0.5, 7.0, 1000, "file-1", "batch_1", "in_progress", 3, 0, 1000, 9000)
TOTALS = [None, *range(10)]


@pytest.mark.parametrize(
    ("rowid", "values", "table"),
    [
        (None, ["job", "{}"], "facts"),
        (None, ["m", 3], "model names"),
        (None, ["m", MODELS], None),
        (None, ["m", None], None),
        (None, [1, 2], None),
        (1, [None, "m"], "models"),
        (MODELS, [None, "m"], None),
        (0, TOTALS, "totals"),
        (0, [None, -1, *range(9)], None),
        (0, [None, "1", *range(9)], None),
        (7, [1000, 5, "probe"], "limits"),
        (7, [1000, "5", "probe"], None),
        (1, [None, 1000, None, None, None, 1500], "executions"),
        (1, [None, 1000, 2000, "stopped", "why", None], "executions"),
        (1, [1, 1000, 2000, "stopped", "why", None], None),
        (1, [1, "m", "timeout", 1000, None, "no answer"], "pauses"),
        (1, [None, "host", "boot", "{}", None, None], "execution_totals"),
        (1, [None, "host", "boot", "{}", "{}", "deadline"], "execution_totals"),
        (1, ["table", "outcomes", "outcomes", 3, "CREATE TABLE outcomes"], None),
        (1, [None, 0, "east", "", "", *range(10), "[]"], "sources"),
        (1, [None, 0, "east", "", "", *range(10), None], "outcomes"),
        (-7, [None, 1], "origins"),
        (7, ["east", 1000, 5, "probe"], "endpoint_limits"),
        (1, [1, "east", "m", "timeout", 1000, None, "no answer"], "endpoint_pauses"),
        (1, [], None),
        (1, [None] * len(OUTCOME_COLUMNS), "outcomes"),
        (1, [None] * 16, "outcomes"),  # of version 4
        (1, [None] * 17, None),
        (1, [None] * 18, "outcomes"),  # of version 5
        (1, [None, "label", 1, b"content", 7], "dictionaries"),
        (1, [None, *BATCH[1:]], "batches"),
        (1, [None, *BATCH[1:5], 0, 0, *BATCH[7:]], "batches"),  # whole numbers, as SQLite keeps them
        (1, [1, 7, 9, b"key", None, 0, 0, 0, 0, None], "batch_lines"),
        (1, [0, 7, None, b"key", "label", 0, 0, 0, 1, b"{}"], "batch_lines"),
        (1, [None, b"{}", 4, 7, b"vector"], "replies"),
        (None, ["facts", "job", 7], "row_checksums"),
        (None, ["models", 0, 7], "row_checksums"),
        (None, [b"key", 0, 7], None),
    ],
)
def test_a_record_is_known_by_its_shape(rowid: int | None, values: list[Any], table: str | None) -> None:
    assert table_of(rowid, values) == table


def test_every_table_of_a_checkpoint_is_known(tmp_path: Path) -> None:
    """A new table needs a shape, or a salvage loses it."""
    with Store(tmp_path) as store:
        store.model_id("m")
        store.put(answer(*requests("a"), endpoint="east"))
        store.put(sharing(requests("b", first=1))[0])
        store.paid("m", Usage(1, 1, 2))
        store.note_limit(1000, 5, "probe", "east")
        store.history.begin_execution(1000)
        store.history.paused("m", "timeout", 2000, endpoint="east")
        store.batches.note(BATCH)
        store.batches.add_lines([BatchLine(1, 7, 7, b"key", None)])
        store.batches.keep([AnswerRow(7, b"key", 1000, b"{", b"}")])
        write_dictionary(store.connection, 1, b"content")
    with Store(tmp_path) as store:
        tables = [
            (name, sql)
            for name, sql in store.connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
            if name not in ("facts", "row_checksums", "retired")  # WITHOUT ROWID: an index; as outcomes
        ]
        assert len(tables) == 16
        for name, _ in tables:
            rowid, *values = store.connection.execute(f"SELECT rowid, * FROM {name}").fetchone()
            keys = [pk for *_, pk in store.connection.execute(f"PRAGMA table_info({name})")]
            assert table_of(rowid, [None if pk else value for pk, value in zip(keys, values, strict=True)]) == name
