"""The scores of the report."""

from typing import Any

import pytest

from batchrun.report.scores import ScoreTable, score_tables


def entry(model: str, column: str = "score", **groups: float) -> dict[str, Any]:
    its = [{"group": name, "mean": mean, "interval": None} for name, mean in groups.items()]
    return {"model": model, "column": column, "mean": 0.5, "interval": None, "groups": its}


@pytest.mark.parametrize(("means", "axis"), [([0.25, 0.5], (0, 1)), ([-3, 0.5], (-3, 1)), ([12.5], (0, 12.5))], ids=str)
def test_bars_of_scores_have_an_axis_from_zero(means: list[float], axis: tuple[float, float]) -> None:
    """It ends at 1 unless there are greater scores, so that pages can be compared."""
    made = ScoreTable("score", [{"mean": mean, "interval": None} for mean in means])
    assert made.axis == axis
    assert made.place(axis[0]) == 0
    assert made.place(axis[1]) == 100


def test_each_column_of_scores_has_its_table() -> None:
    """A model that has no score is left out; an older run has only one column, without a name."""
    entries = [entry("m"), entry("n"), entry("m", "score_loose"), entry("n", "score_loose") | {"mean": None}]
    del entries[0]["column"]
    found = [(table.column, [each["model"] for each in table.scores]) for table in score_tables(entries)]
    assert found == [("score", ["m", "n"]), ("score_loose", ["m"])]


def test_groups_stand_in_one_table_for_all_models() -> None:
    """A model without a row of a group has no entry there."""
    (table,) = score_tables([entry("m", art=0.25, law=0.5), entry("n", law=0.75)])
    means = [(name, [each and each["mean"] for each in its]) for name, its in table.groups]
    assert means == [("art", [0.25, None]), ("law", [0.5, 0.75])]
