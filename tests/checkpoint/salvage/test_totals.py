"""After a salvage it is known how many settled rows are lost, from whatever is left to tell it."""

from pathlib import Path

import pytest
from harness.checkpoints import settle
from harness.damage import answers

from batchrun.checkpoint.salvage.totals import Lost, lost_rows, settled_before
from batchrun.checkpoint.store import Store

NOTHING = [0] * 8


@pytest.mark.parametrize(
    ("before", "total", "are_all_rows_used", "lost"),
    [
        (20, 40, True, Lost(8, is_exact=True)),
        (12, 40, True, Lost(0, is_exact=True)),
        (None, 40, True, Lost(28, is_exact=False)),
        (None, 12, True, Lost(0, is_exact=True)),
        (None, None, True, Lost(4, is_exact=False)),
        (None, None, False, None),
    ],
    ids=["totals", "none", "the job's rows", "all of these", "gaps", "a sample has gaps"],
)
def test_lost_rows_are_counted(
    tmp_path: Path, before: int | None, total: int | None, are_all_rows_used: bool, lost: Lost | None
) -> None:
    """Of 16 rows, four are gone in the middle."""
    settle(tmp_path, [each for each in answers(16) if each.row // 4 != 2])
    with Store(tmp_path) as store:
        assert lost_rows(store.connection, before, total, are_all_rows_used=are_all_rows_used) == lost


def test_without_any_outcome_there_are_no_gaps(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert lost_rows(store.connection, None, None, are_all_rows_used=True) == Lost(0, is_exact=False)


def test_a_place_is_one_of_each_model(tmp_path: Path) -> None:
    outcomes = [*answers(4), *answers(2, model="n")]
    settle(tmp_path, outcomes)
    with Store(tmp_path) as store:
        assert lost_rows(store.connection, None, None, are_all_rows_used=True) == Lost(2, is_exact=False)


def test_the_old_totals_tell_how_many_were_settled() -> None:
    assert settled_before({0: [3, 1, *NOTHING], 1: [2, 0, *NOTHING]}) == 6
    assert settled_before({}) is None
