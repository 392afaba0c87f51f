"""What the answers of each endpoint add up to: kept with the rows, and nothing is kept where there is one endpoint."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from harness.checkpoints import answer, failure, requests, settle

from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import DamagedError
from batchrun.records import AnswerSource, ModelTotals, Usage

EAST, WEST = AnswerSource("m", "east"), AnswerSource("m", "west")


def read(directory: Path) -> dict[AnswerSource, ModelTotals]:
    with Checkpoint(directory) as checkpoint:
        return checkpoint.parts()


def test_each_source_has_its_own_totals(tmp_path: Path) -> None:
    """By model, endpoint and the model that answered; also of what was paid for and belongs to no row."""
    a, b, c, d = requests(*"abcd")
    with Store(tmp_path) as store:
        for each in (
            answer(a, endpoint="east", attempts=3, throttled=2),
            failure(b)._replace(endpoint="west"),
            answer(c, endpoint="west", usage=Usage(10, 1, 11)),
            answer(d, endpoint="west", answered_by="spare", usage=Usage()),
        ):
            store.model_id(each.model)
            store.put(each)
        store.paid("m", Usage(1, 1, 2), "west")
        store.attempted("m", 2, 1, "east")
    expected = {
        EAST: ModelTotals(1, 1, 0, 5, 3, 3, 2, 5, 1, stated_as_0=frozenset({"reasoning_tokens"})),
        WEST: ModelTotals(2, 1, 1, 2, 0, 11, 2, 13),
        AnswerSource("m", "west", "spare"): ModelTotals(1, 1, 0, 1, unstated=1),
    }
    assert read(tmp_path) == store.parts == expected


def test_totals_grow_from_one_execution_to_the_next(tmp_path: Path) -> None:
    for number in range(3):
        settle(tmp_path, [answer(*requests("a", first=number), endpoint="east")])
    assert read(tmp_path)[EAST].completed == 3
    assert read(tmp_path)[EAST].prompt_tokens == 9


def test_with_one_endpoint_nothing_is_written(tmp_path: Path) -> None:
    """It pays for none of this."""
    with Store(tmp_path) as store:
        store.model_id("m")
        store.put(answer(*requests("a")))
        store.paid("m", Usage(1, 1, 2))
        store.attempted("m", 1, 0)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        for table in ("sources", "origins", "endpoint_limits", "endpoint_pauses"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_commit_that_failed_is_counted_once_when_it_succeeds(tmp_path: Path) -> None:
    """What was not written is in no total, and the number of its source is kept for the next try."""
    with Store(tmp_path) as store:
        store.model_id("m")
        store.put(answer(*requests("a"), endpoint="east"))
        store.connection.execute("CREATE TRIGGER full BEFORE INSERT ON sources BEGIN SELECT raise(ABORT, 'full'); END")
        with pytest.raises(sqlite3.Error, match="full"):
            store._writer.commit(is_last=True)
        assert store.parts == {}
        store.connection.execute("DROP TRIGGER full")
    assert read(tmp_path) == {EAST: store.totals["m"]}


def test_totals_that_are_not_numbers_are_damage(tmp_path: Path) -> None:
    for column, value in (("attempts", "x"), ("stated_as_0", "{"), ("stated_as_0", "7")):
        settle(tmp_path, [answer(*requests("a"), endpoint="east")])
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
            connection.execute(f"UPDATE sources SET {column} = ?", (value,))
        with pytest.raises(DamagedError):
            read(tmp_path)
        (tmp_path / FILE_NAME).unlink()
