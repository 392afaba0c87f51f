"""An answer that changed on the disk is not shown: the rows are named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from harness.checkpoints import answer, failure, outcomes_in, requests, settle

from batchrun.checkpoint.contents import changed_text
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import DamagedError


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        ("body = x'6161' WHERE id >> 24 = 3", "the answer of row 3 changed on the disk"),
        (
            "key = x'31313131313131313131313131313131' WHERE id >> 24 IN (3, 2999)",
            "the answers of rows 3, 2999 changed",
        ),
        ("error = 'yes' WHERE kind IS NOT NULL", "the answer of row 3000 changed"),
        ("checksum = checksum + 1", "18, 19 and 2,981 more changed"),
    ],
)
def test_every_row_that_changed_is_named(tmp_path: Path, change: str, rows: str) -> None:
    """Also those far behind the first one, and failures."""
    asked = requests(*map(str, range(3001)))
    settle(tmp_path, [*map(answer, asked[:-1]), failure(asked[-1])])
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(f"UPDATE outcomes SET {change}")
        connection.commit()
    with pytest.raises(DamagedError, match=rows) as caught:
        outcomes_in(tmp_path)
    assert f"batchrun export {tmp_path} --salvage" in str(caught.value)


def test_a_row_with_several_answers_is_named_once() -> None:
    assert changed_text([3, 3]) == "the answer of row 3 changed on the disk: the checksum is wrong"
