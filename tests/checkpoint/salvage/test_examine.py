"""Damage is reported before anything relies on the checkpoint, with what to do. The file is not written."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest
from harness.checkpoints import outcomes_in
from harness.damage import (
    DAMAGES,
    PAGE,
    changed_pages,
    damage,
    make_checkpoint,
    make_torn_checkpoint,
    pages_of,
    root_of,
)

from batchrun.checkpoint import file
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.salvage import examine
from batchrun.checkpoint.salvage.examine import problem_of
from batchrun.checkpoint.salvage.rescue import recover
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import DamagedError, InputError, RunDirectoryError
from batchrun.records import Outcome, Request
from batchrun.results.export import export
from batchrun.results.run_directory import RESULTS, stored_job


def assert_refused(directory: Path, *, says: str = "is damaged or not a checkpoint") -> None:
    """Opening for a run says so, and changes no byte."""
    path = directory / FILE_NAME
    before = path.read_bytes()
    with pytest.raises(DamagedError, match=says) as caught, Store(directory):
        pass
    assert caught.value.exit_code == 3
    assert str(path) in str(caught.value)
    assert f"batchrun export {directory} --salvage" in str(caught.value)
    assert path.read_bytes() == before


def open_and_export(directory: Path) -> None:
    with Store(directory):
        pass
    export(directory)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_run_notices_damage_before_it_sends(tmp_path: Path, kind: str) -> None:
    """Wherever it is."""
    make_checkpoint(tmp_path)
    damage(tmp_path / FILE_NAME, kind, Random(3))
    assert_refused(tmp_path)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_to_a_large_file_is_noticed_at_the_latest_when_it_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Since it takes too long to be looked through before each run; results that there were stay."""
    monkeypatch.setattr(examine, "CHECKED_BYTES", 0)
    make_checkpoint(tmp_path)
    export(tmp_path)
    before = (tmp_path / RESULTS).read_bytes()
    damage(tmp_path / FILE_NAME, kind, Random(3))
    with pytest.raises(DamagedError, match="is damaged or not a checkpoint"):
        open_and_export(tmp_path)
    assert (tmp_path / RESULTS).read_bytes() == before


@pytest.mark.parametrize("kind", DAMAGES)
def test_reading_reports_damage_or_is_not_affected_by_it(tmp_path: Path, kind: str) -> None:
    """Status and export never end with a traceback; salvage always finds something to do."""
    make_checkpoint(tmp_path)
    damage(tmp_path / FILE_NAME, kind, Random(3))
    assert "--salvage" in str(problem_of(tmp_path))
    with suppress(DamagedError):
        assert len(read_all(tmp_path)) == 120


def read_all(directory: Path) -> list[Outcome]:
    """Read what status and export do."""
    with Checkpoint(directory) as checkpoint:
        stored_job(checkpoint)
        checkpoint.totals()
        return [each for some in checkpoint.outcomes() for each in some]


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("count", [-1, 1])
def test_rows_that_are_gone_without_a_trace_are_missed(tmp_path: Path, count: int) -> None:
    """An old page that has come back is sound in itself: the totals know better."""
    make_checkpoint(tmp_path)
    changed(tmp_path / FILE_NAME, "DELETE FROM row_checksums", f"UPDATE totals SET completed = completed + {count}")
    assert_refused(tmp_path, says=f"it has 120 settled rows instead of {120 + count}")


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE outcomes SET key = 'text' WHERE id >> 24 = 7", "the outcome of row 7 has values that no outcome has"),
        (
            "UPDATE outcomes SET attempts = 'many' WHERE id >> 24 = 7",
            "the outcome of row 7 has values that no outcome has",
        ),
        (
            "UPDATE outcomes SET http_status = 1 << 40 WHERE id >> 24 = 7",
            "the outcome of row 7 has values that no outcome has",
        ),
        ("UPDATE outcomes SET custom_id = CAST(x'ff' AS TEXT) WHERE id >> 24 = 7", "decode"),
        ("DELETE FROM models", "the model number 0, which has no name"),
        ("UPDATE facts SET value = '{' WHERE name = 'job'", "the fact job is not JSON"),
        ("UPDATE facts SET value = '[]' WHERE name = 'job'", "is not of type dict"),
        ("UPDATE facts SET value = '{\"name\": 1}' WHERE name = 'job'", "its job cannot be read"),
        ("UPDATE totals SET total_tokens = 'many'", "totals of m are not numbers"),
        ("DROP TABLE totals", "no such table: totals"),
    ],
)
def test_impossible_values_are_reported(tmp_path: Path, statement: str, says: str) -> None:
    """SQLite itself lets anything stand in any column, and rows of older versions have no checksum."""
    make_checkpoint(tmp_path, 20)
    changed(tmp_path / FILE_NAME, "DELETE FROM row_checksums", statement)
    with pytest.raises(DamagedError, match=says):
        read_all(tmp_path)


def _as_varint(number: int) -> bytes:
    """Return a number of 29 to 35 bits as SQLite stores it."""
    return bytes(number >> shift & 0x7F | (0x80 if shift else 0) for shift in (28, 21, 14, 7, 0))


@pytest.mark.parametrize("other", [20, 118])
def test_a_row_whose_number_changed_does_not_have_rows_read_without_end(tmp_path: Path, other: int) -> None:
    """The last one has a lower number now: those after that would be read again and again."""
    make_checkpoint(tmp_path)
    path = tmp_path / FILE_NAME
    data, number = path.read_bytes(), _as_varint(119 << 24)
    assert data.count(number) == 1
    path.write_bytes(data.replace(number, _as_varint(other << 24)))
    with pytest.raises(DamagedError, match=f"not in the order of their numbers.*batchrun export {tmp_path} --salvage"):
        read_all(tmp_path)
    found = recover(tmp_path)
    assert found is not None
    assert found.rows == 119
    assert [each.row for each in read_all(tmp_path)] == [*range(119)]


def test_an_answer_that_is_none_is_found_by_salvage(tmp_path: Path) -> None:
    """Its page of text is one that nothing else reads."""
    make_checkpoint(tmp_path)
    path = tmp_path / FILE_NAME
    (number, pages) = next((number, pages) for number, pages in pages_of(path).items() if len(pages) == 3)
    data = bytearray(path.read_bytes())
    at = (max(pages) - 1) * PAGE + 100
    data[at : at + 100] = bytes(100)
    path.write_bytes(data)
    problem = problem_of(tmp_path)
    assert problem is not None
    assert f"the answer of row {number >> 24} changed on the disk" in str(problem)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE outcomes SET checksum = NULL")  # as an older version stored it
        connection.commit()
    assert f"the answer of row {number >> 24} is not JSON" in str(problem_of(tmp_path))


@pytest.mark.parametrize(
    ("at", "content", "says"),
    [(68, b"cats", "its header is not"), (60, b"\xff\0\0\0", "version is -"), (60, b"\0\0\0\0", "version is 0")],
)
def test_a_damaged_header_is_not_taken_for_another_programs(tmp_path: Path, at: int, content: bytes, says: str) -> None:
    """The same holds for a newer version: its content would be out of reach."""
    make_checkpoint(tmp_path, 20)
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[at : at + 4] = content
    path.write_bytes(data)
    assert_refused(tmp_path, says=says)


def test_a_log_that_is_broken_in_the_middle_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite would continue from there, and overwrite all answers that follow."""
    make_torn_checkpoint(tmp_path)
    log = tmp_path / f"{FILE_NAME}-wal"
    data = bytearray(log.read_bytes())
    data[32 + 24 + 50] ^= 1
    log.write_bytes(data)
    monkeypatch.setattr(examine, "LAST_SECONDS_COMMITS", 3)
    assert_refused(tmp_path, says="its log is broken, and 6 sound commits follow")
    assert log.read_bytes() == data


def test_after_a_power_cut_the_run_resumes(tmp_path: Path) -> None:
    """It may have broken the log within the last second, and whatever else is as it was."""
    outcomes = make_torn_checkpoint(tmp_path)
    log = tmp_path / f"{FILE_NAME}-wal"
    data = log.read_bytes()
    log.write_bytes(data[: len(data) - PAGE // 2])
    with Store(tmp_path) as store:
        assert sum(sums.requests for sums in store.totals.values()) == 110
    assert outcomes_in(tmp_path) == outcomes[:110]


def a_folder(path: Path) -> None:
    path.mkdir()


def an_empty_file(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (a_folder, "it is a folder"),
        (an_empty_file, "is empty: its run died as it began, or the disk has lost it; run the job"),
    ],
)
def test_what_is_not_even_a_damaged_checkpoint_has_another_cure(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    """There is nothing to salvage."""
    make(tmp_path / FILE_NAME)
    with pytest.raises(RunDirectoryError, match=says) as caught, Checkpoint(tmp_path):
        pass
    assert "--salvage" not in str(caught.value)


def test_a_disk_that_cannot_be_written_is_not_damage(tmp_path: Path) -> None:
    """Its cure is another one."""
    with Store(tmp_path) as store:
        store.connection.execute("PRAGMA query_only = ON")
        with pytest.raises(RunDirectoryError, match="make it writable") as caught, file.translated(store.path):
            store.connection.execute("DELETE FROM outcomes")
    assert not isinstance(caught.value, DamagedError)


def test_an_outcome_that_is_there_unseen_is_not_overwritten(tmp_path: Path) -> None:
    """A write that meets one stops the run: it is damage too."""
    (first, *_) = make_checkpoint(tmp_path, 5)
    store = Store(tmp_path)
    with pytest.raises(DamagedError, match="UNIQUE"), store:
        store.put(first)
    assert root_of(tmp_path / FILE_NAME, "outcomes") > 0


def test_a_run_that_was_killed_on_a_disk_without_a_log_resumes(tmp_path: Path) -> None:
    """Its last transaction is undone; that is not damage."""
    made, directory = tmp_path / "made", tmp_path / "run"
    made.mkdir()
    directory.mkdir()
    outcomes = make_checkpoint(made, 40)
    with closing(sqlite3.connect(made / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("UPDATE outcomes SET custom_id = 'not yet', body = x''")
        for suffix in ("", "-journal"):
            shutil.copy(made / (FILE_NAME + suffix), directory / (FILE_NAME + suffix))
    assert (directory / f"{FILE_NAME}-journal").stat().st_size > 0
    with Store(directory) as store:
        assert store.totals["m"].completed == 40
    assert outcomes_in(directory) == outcomes


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_ends_with_a_traceback(tmp_path: Path, seed: int) -> None:
    """No row is sent again whose outcome is there, except for those whose page was damaged."""
    random = Random(seed)
    outcomes = make_checkpoint(tmp_path, 60)
    path = tmp_path / FILE_NAME
    places = {number >> 24: pages for number, pages in pages_of(path).items()}
    before = path.read_bytes()
    data = bytearray(before)
    for _ in range(random.choice([1, 1, 3, 30])):
        at, size = random.randrange(len(data)), random.choice([1, 1, 16, 300])
        data[at : at + size] = random.randbytes(min(size, len(data) - at))
    path.write_bytes(data)
    hit = changed_pages(before, bytes(data))
    with suppress(RunDirectoryError):
        read_all(tmp_path)
    with suppress(RunDirectoryError, InputError), Store(tmp_path) as store:
        again = store.unsettled([Request(*each[:4], b"", None) for each in outcomes])
        assert [each.row for each in again if not places[each.row] & hit] == []


def test_a_damaged_answer_is_reported_and_not_shown_as_one_without_text(tmp_path: Path) -> None:
    """Its row says completed; results that there were stay, and salvage has the row sent again."""
    make_checkpoint(tmp_path, 20)
    export(tmp_path)
    before = (tmp_path / RESULTS).read_bytes()
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    place = data.rfind(b'"choices"')
    data[place : place + 16] = bytes(16)
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=r"the answer of row \d+ changed on the disk.*--salvage"):
        export(tmp_path)
    assert (tmp_path / RESULTS).read_bytes() == before
