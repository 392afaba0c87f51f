"""The pages of a damaged file are read as far as they can be. `test_rescue` shows what is recovered from them."""

from pathlib import Path

import pytest
from harness.damage import make_checkpoint, make_torn_checkpoint
from harness.descriptors import open_descriptors

from batchrun.checkpoint.salvage.damaged import DamagedFile
from batchrun.checkpoint.tables import FILE_NAME, OUTCOME_COLUMNS


def rows_in(directory: Path) -> set[int | None]:
    path = directory / FILE_NAME
    with DamagedFile(path, path.with_name(path.name + "-wal")) as file:
        return {
            found.record.rowid >> 24
            for found in file.records()
            if found.is_current and found.record.rowid and len(found.record.values) == len(OUTCOME_COLUMNS)
        } | {0}


def test_every_row_of_a_sound_file_is_found(tmp_path: Path) -> None:
    outcomes = make_checkpoint(tmp_path, 50)
    assert rows_in(tmp_path) == {each.row for each in outcomes}


def test_rows_that_are_only_in_the_log_are_found_too(tmp_path: Path) -> None:
    outcomes = make_torn_checkpoint(tmp_path, 10, 30)
    assert rows_in(tmp_path) == {each.row for each in outcomes}


def test_a_file_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    with DamagedFile(tmp_path / "none", tmp_path / "none-wal") as file:
        assert list(file.records()) == []
        assert file.hidden_commits == 0


def test_a_file_that_cannot_be_read_is_closed_again(tmp_path: Path) -> None:
    """The log is a folder: it can be opened, and not read."""
    make_checkpoint(tmp_path, 5)
    (tmp_path / "log").mkdir()
    before = open_descriptors()
    for _ in range(5):
        with pytest.raises(IsADirectoryError):
            DamagedFile(tmp_path / FILE_NAME, tmp_path / "log")
    assert open_descriptors() == before
