"""Rows that are settled are found; a row that was settled with another content is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.checkpoints import answer, failure, requests, settle

from batchrun.checkpoint.file import connect
from batchrun.checkpoint.lookup import ChangedRow, Lookup
from batchrun.checkpoint.models import ModelNumbers
from batchrun.checkpoint.queue import WriteQueue
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import RunDirectoryError

BATCH = requests(*"abcdef")


@pytest.fixture
def lookup(tmp_path: Path) -> Iterator[Lookup]:
    """Rows 1 and 4 are settled."""
    settle(tmp_path, [answer(BATCH[1]), failure(BATCH[4])])
    path = tmp_path / FILE_NAME
    models = ModelNumbers(path, WriteQueue())
    made = Lookup(path, models)
    connection = connect(path)
    models.load(connection)
    made.load(connection)
    yield made
    made.close()


def test_only_requests_without_an_outcome_are_left(lookup: Lookup) -> None:
    assert lookup.unsettled([]) == []
    assert lookup.unsettled(BATCH) == [BATCH[0], BATCH[2], BATCH[3], BATCH[5]]
    assert lookup.unsettled(BATCH[1:2]) == []


def test_rows_behind_the_last_outcome_are_not_looked_up(lookup: Lookup) -> None:
    later = requests("x", first=5)
    assert lookup.ends_at == 5
    lookup.connection.close()
    assert lookup.unsettled(later) == later
    assert lookup.settled(5, 100, 1) == set()


def test_a_row_with_another_content_is_named(lookup: Lookup) -> None:
    with pytest.raises(ChangedRow) as caught:
        lookup.unsettled(requests("other", first=4))
    assert caught.value.row == 4


def test_a_row_is_settled_when_it_has_all_its_outcomes(lookup: Lookup) -> None:
    assert lookup.settled(0, 100, 1) == {1, 4}
    assert lookup.settled(2, 100, 1) == {4}
    assert lookup.settled(0, 100, 2) == set()


def test_a_closed_lookup_is_an_error_of_the_run_directory(lookup: Lookup) -> None:
    """A drained run does not wait for its reader."""
    lookup.close()
    with pytest.raises(RunDirectoryError, match="closed database"):
        lookup.unsettled(BATCH)
