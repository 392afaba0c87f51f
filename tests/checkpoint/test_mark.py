"""The mark stands below the first row that is not settled. `test_store` shows it over whole runs."""

from pathlib import Path

import pytest
from harness.checkpoints import answer, requests, settle

from batchrun.checkpoint import facts
from batchrun.checkpoint.mark import STEP_ROWS, SettledMark
from batchrun.checkpoint.store import Store


def settle_rows(directory: Path, count: int) -> None:
    (request,) = requests("a")
    settle(directory, [answer(request, row=row) for row in range(count)])


@pytest.mark.parametrize(("per_row", "most_steps", "steps"), [(0, 9, 0), (1, 9, 3), (1, 2, 2), (2, 9, 0)])
def test_the_mark_moves_by_whole_steps_that_are_settled(
    tmp_path: Path, per_row: int, most_steps: int, steps: int
) -> None:
    settle_rows(tmp_path, 3 * STEP_ROWS + 5)
    with Store(tmp_path) as store:
        mark = SettledMark()
        mark.load(store.connection)
        mark.per_row = per_row
        assert mark.moved(store.connection, most_steps) == steps * STEP_ROWS


def test_a_mark_is_moved_only_when_its_commit_has_succeeded(tmp_path: Path) -> None:
    """After a rollback the rows below it may be gone."""
    settle_rows(tmp_path, STEP_ROWS)
    with Store(tmp_path) as store:
        mark = SettledMark()
        mark.per_row = 1
        store.connection.execute("BEGIN")
        assert mark.moved(store.connection, 1) == STEP_ROWS
        store.connection.execute("ROLLBACK")
        assert mark.rows == 0
        assert store.fact(facts.SETTLED_ROWS) is None
