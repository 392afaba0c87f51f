"""The section `[evaluate]`."""

from typing import Any

import pytest

from batchrun.job.evaluate import Evaluate
from batchrun.job.settings import SettingError


def test_each_scorer_has_a_column() -> None:
    """The main one is first; others take its target, and may be named by a list, by a name or by settings."""
    table = {"loose": "contains", "form": {"scorer": "regex", "pattern": "#### (.+)", "target": "other"}}
    evaluate = Evaluate(target="answer", scorer="number", scorers=table)
    columns = evaluate.scored()
    assert list(columns) == ["score", "score_loose", "score_form"]
    assert [(each.target, each.scorer) for each in columns.values()] == [
        ("answer", "number"),
        ("answer", "contains"),
        ("other", "regex"),
    ]
    assert columns["score_form"].pattern == "#### (.+)"
    listed: Any = ["exact", "number"]
    assert list(Evaluate(target="answer", scorers=listed).scored()) == ["score", "score_exact", "score_number"]


def test_without_a_target_only_scorers_with_their_own_have_columns() -> None:
    """There is no column `score`."""
    only: Any = {"loose": {"scorer": "contains", "target": "gold"}}
    assert list(Evaluate(scorers=only).scored()) == ["score_loose"]


@pytest.mark.parametrize(
    ("scorers", "message"),
    [
        ({"a b": "exact"}, "letters, digits and _"),
        ({"a": "exactly"}, "must be one of exact, contains, number, regex, json_field in a.scorer"),
        ({"a": {"patern": "x"}}, "must have only target, scorer, pattern, field for a, not patern"),
        ({"a": {"pattern": ""}}, "must be a non-empty string in a.pattern"),
        ({"a": 3}, "must have a scorer, or a table with its settings, for a"),
        ([3], "letters, digits and _"),
        ("exact", "must be a list such as"),
        ({"a": "exact"}, "must name a target, or set evaluate.target for all"),
    ],
)
def test_wrong_scorers_are_refused(scorers: Any, message: str) -> None:
    """The message says what is wrong with which one."""
    with pytest.raises(SettingError, match=message):
        Evaluate(scorers=scorers)


def test_the_columns_of_the_input_that_are_needed_are_known_with_their_settings() -> None:
    """A missing one is reported under its setting."""
    table: Any = {"a": {"target": "gold"}, "b": "exact"}
    evaluate = Evaluate(target="answer", by="subject", scorers=table)
    assert evaluate.reads == (
        ("evaluate.target", "answer"),
        ("evaluate.by", "subject"),
        ("evaluate.scorers.a.target", "gold"),
    )
