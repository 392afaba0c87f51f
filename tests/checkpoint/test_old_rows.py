"""Rows of older versions are checked and packed in place. Interrupted, it continues. Readers see no difference."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from harness.alike import settle_as_version_4, settled
from harness.checkpoints import failure, outcomes_in, requests
from harness.damage import damage

from batchrun.checkpoint import facts, old_rows
from batchrun.checkpoint.changes import adapt, foresee
from batchrun.checkpoint.old_rows import bring_up_to_date
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.reuse import RunAnswers
from batchrun.checkpoint.salvage.examine import problem_of
from batchrun.checkpoint.salvage.rescue import recover
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, VERSION
from batchrun.records import Outcome, Request

ROWS = 1200


@pytest.fixture
def outcomes(tmp_path: Path) -> list[Outcome]:
    """Of a checkpoint that version 4 wrote."""
    outcomes = [*settled(ROWS), failure(requests("f", first=ROWS)[0])]
    settle_as_version_4(tmp_path, outcomes)
    return outcomes


def bring(directory: Path) -> list[str]:
    lines: list[str] = []
    with Store(directory) as store:
        bring_up_to_date(store, lines.append)
    return lines


def state_of(directory: Path) -> list[tuple[int, bool, bool]]:
    """Return how many rows, with or without checksum, are packed or not."""
    query = "SELECT count(*), checksum IS NOT NULL, dictionary IS NOT NULL FROM outcomes GROUP BY 2, 3"
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return connection.execute(query).fetchall()


def test_all_rows_are_packed_and_checked_from_then_on(tmp_path: Path, outcomes: list[Outcome]) -> None:
    """The file grows by no more than the dictionary, and it is done once."""
    with Store(tmp_path):
        pass  # which gives it the tables of later versions
    before = (tmp_path / FILE_NAME).stat().st_size
    assert bring(tmp_path) == []
    assert state_of(tmp_path) == [(1, True, False), (ROWS, True, True)]
    assert outcomes_in(tmp_path) == outcomes
    assert problem_of(tmp_path) is None
    assert (tmp_path / FILE_NAME).stat().st_size <= before + 8192  # the dictionary
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.fact(facts.UNCHECKED) is None
    changes = (tmp_path / FILE_NAME).read_bytes()
    bring(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes()[100:] == changes[100:]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_after_an_interruption_it_continues(
    tmp_path: Path, outcomes: list[Outcome], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """What is done stays done, and meanwhile everything can be read."""
    monkeypatch.setattr(old_rows, "_ROWS", 300)
    done, pack = [0], old_rows.Packer.pack

    def packed(self: old_rows.Packer, body: bytes | None) -> tuple[bytes | None, int | None]:
        done[0] += 1
        if done[0] == 300 * steps + 100:
            raise KeyboardInterrupt
        return pack(self, body)

    monkeypatch.setattr(old_rows.Packer, "pack", packed)
    with pytest.raises(KeyboardInterrupt):
        bring(tmp_path)
    assert sum(rows for rows, is_checked, _ in state_of(tmp_path) if is_checked) == 300 * steps
    assert outcomes_in(tmp_path) == outcomes
    bring(tmp_path)
    assert done[0] == 300 * steps + 100 + ROWS + 1 - 300 * steps
    assert state_of(tmp_path) == [(1, True, False), (ROWS, True, True)]
    assert outcomes_in(tmp_path) == outcomes


def test_answers_that_were_asked_no_more_are_packed_too(tmp_path: Path, outcomes: list[Outcome]) -> None:
    """An edit that is undone gives them back."""
    asked = [Request(each.row, "m", 0, each.key, b"", each.custom_id) for each in outcomes]
    with Store(tmp_path) as store:
        adapt(store, [asked[:5]], lambda change: True)
        bring_up_to_date(store, print)
        (left,) = store.connection.execute("SELECT count(*) FROM retired WHERE checksum IS NULL").fetchone()
        assert left == 0
        adapt(store, [asked], lambda change: True)
    assert outcomes_in(tmp_path) == outcomes
    assert problem_of(tmp_path) is None


def test_a_file_of_an_older_version_is_read_as_it_is(tmp_path: Path, outcomes: list[Outcome]) -> None:
    """Looking changes nothing: not the rows, not the version."""
    before = (tmp_path / FILE_NAME).read_bytes()
    assert outcomes_in(tmp_path) == outcomes
    asked = [Request(each.row, "m", 0, each.key, b"", each.custom_id) for each in outcomes]
    assert foresee(tmp_path, [asked[:-1]]).change.kept == ROWS
    with RunAnswers(tmp_path) as answers:
        assert len(list(answers.answers(lambda source: ""))) == ROWS
    assert problem_of(tmp_path) is None
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_damaged_file_of_an_older_version_is_recovered(tmp_path: Path, outcomes: list[Outcome]) -> None:
    """Its rows are unchecked until the next run."""
    damage(tmp_path / FILE_NAME, "noise in the middle", Random(1))
    found = recover(tmp_path)
    assert found is not None
    assert found.rows > ROWS // 3
    bring(tmp_path)
    assert {is_checked for _, is_checked, _ in state_of(tmp_path)} == {True}
    assert set(outcomes_in(tmp_path)) <= set(outcomes)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_many_rows_are_announced(tmp_path: Path, outcomes: list[Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the run waits for it."""
    monkeypatch.setattr(old_rows, "_MANY", 1000)
    assert bring(tmp_path) == [
        "packing the rows that an older version stored, once: about 1 min; interrupted, it continues with the next run"
    ]
