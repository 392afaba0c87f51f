"""The score of one answer."""

import math
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.scores.scorers import NO_SCORE, FunctionScorer, NamedFunction, Score, scorer_for, target_text
from batchrun.errors import JobError

SCORERS = {
    "exact": scorer_for("exact"),
    "contains": scorer_for("contains"),
    "number": scorer_for("number"),
    "regex": scorer_for("regex", pattern=r"Answer: (\w+)"),
    "json_field": scorer_for("json_field", field="who.names.0"),
}


@pytest.mark.parametrize(
    ("scorer", "answer", "target", "score"),
    [
        ("exact", " positive\n", "positive", Score(1.0, "positive", "positive")),
        ("exact", "Positive", "positive", Score(0.0, "Positive", "positive")),
        ("exact", "positive.", "positive ", Score(0.0, "positive.", "positive")),
        ("exact", "", "positive", Score(0.0, "", "positive")),
        ("exact", "3", 3, Score(1.0, "3", "3")),
        ("exact", "3", 3.0, Score(1.0, "3", "3")),
        ("exact", "true", True, Score(1.0, "true", "true")),
        ("contains", "It is Paris, of course.", "Paris", Score(1.0)),
        ("contains", "It is paris, of course.", "Paris", Score(0.0)),
        ("number", "So it costs $1,234.", "work\n#### 1,234", Score(1.0, "1234", "1234")),
        ("number", "18.0 dollars", "18", Score(1.0, "18", "18")),
        ("number", "18.01", 18, Score(0.0, "18.01", "18")),
        ("number", "eighteen", "18", Score(0.0, None, "18")),
        ("number", "18", "unknown", Score(None, "18", None)),
        ("regex", "thinking… Answer: yes", "yes", Score(1.0, "yes", "yes")),
        ("regex", "yes", "yes", Score(0.0, None, "yes")),
        ("json_field", '{"who": {"names": ["Ann"]}}', "Ann", Score(1.0, "Ann", "Ann")),
        ("json_field", 'Sure: ```{"who": {"names": ["Ann",]}}```', "Bob", Score(0.0, "Ann", "Bob")),
        ("json_field", '{"who": {"names": []}}', "Ann", Score(0.0, None, "Ann")),
        ("json_field", '{"who": {"names": "Ann"}}', "Ann", Score(0.0, None, "Ann")),
        ("json_field", "no", "Ann", Score(0.0, None, "Ann")),
    ],
)
def test_an_answer_is_compared_with_its_target(scorer: str, answer: str, target: Any, score: Score) -> None:
    """The part of the answer that was compared is kept with the score."""
    assert SCORERS[scorer](answer, target) == score


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("target", [None, math.nan, "", "  "])
def test_without_a_target_there_is_no_score(scorer: str, target: Any) -> None:
    """That is: null, the NaN that pandas makes of null, and an empty cell of a CSV file."""
    assert SCORERS[scorer]('Answer: 1 {"who": 1}', target).value is None


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_failed_row_has_no_score(scorer: str) -> None:
    """A failure does not count as a wrong answer; an empty answer does."""
    assert SCORERS[scorer](None, "18").value is None
    assert SCORERS[scorer]("", "18").value == 0.0


def test_a_pattern_without_a_group_compares_its_whole_match() -> None:
    """If a group did not match, nothing was found. If there are several groups, the first counts."""
    assert scorer_for("regex", pattern=r"\b[A-D]\b")("I say B, not C.", "B") == Score(1.0, "B", "B")
    assert scorer_for("regex", pattern=r"(A)|B")("B", "B") == Score(0.0, None, "B")
    assert scorer_for("regex", pattern=r"(\d) (\d)")("1 2", 1) == Score(1.0, "1", "1")


def test_a_property_name_may_have_a_dot_and_its_value_any_type() -> None:
    """Values are compared in their JSON form."""
    assert scorer_for("json_field", field="a.b")('{"a.b": 1, "a": {"b": 2}}', 1) == Score(1.0, "1", "1")
    assert scorer_for("json_field", field="a")('{"a": 18.0}', "18") == Score(1.0, "18", "18")
    assert scorer_for("json_field", field="a")('{"a": false}', False) == Score(1.0, "false", "false")
    assert scorer_for("json_field", field="a")('{"a": [1, "x"]}', [1, "x"]) == Score(1.0, '[1,"x"]', '[1,"x"]')
    assert scorer_for("json_field", field="a")('{"a": null}', "x") == Score(0.0, None, "x")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (" a ", "a"),
        (1, "1"),
        (1.0, "1"),
        (0.1, "0.1"),
        (True, "true"),
        (2**70, str(2**70)),
        (math.inf, "inf"),
        ({"b": 1, "a": [None]}, '{"a":[null],"b":1}'),
        (date(2024, 2, 29), "2024-02-29"),
        ("é ".encode(), "é"),
        (b"\xff", None),
        (b" ", None),
    ],
)
def test_a_target_of_any_type_is_compared_as_text(target: Any, text: str | None) -> None:
    """Strings are used unchanged, bytes that are UTF-8 are text, all other types are used in their JSON form."""
    assert target_text(target) == text


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("regex", {}, r"evaluate\.pattern: the scorer regex needs it"),
        ("json_field", {}, r"evaluate\.field: the scorer json_field needs it"),
        ("exact", {"pattern": "x"}, r"evaluate\.pattern: only the scorer regex uses it, and the scorer is exact"),
        ("regex", {"pattern": "x", "field": "a"}, r"evaluate\.field: only the scorer json_field uses it"),
        ("regex", {"pattern": "(["}, r"evaluate\.pattern = '\(\['; is not a regular expression: unterminated"),
        ("regex", {"pattern": "a{99999999999999999999}"}, r"evaluate\.pattern: is too large"),
        ("exakt", {}, r"evaluate\.scorer = 'exakt'; must be one of exact, "),
    ],
)
def test_invalid_settings_of_a_scorer_are_refused(name: str, settings: dict[str, str], message: str) -> None:
    """When it is created, before any request; the message says what to change."""
    with pytest.raises(JobError, match=message):
        scorer_for(name, **settings)


@given(st.sampled_from(sorted(SCORERS)), st.text(), st.none() | st.text() | st.floats() | st.integers())
def test_no_answer_or_target_makes_a_scorer_raise_an_error(name: str, answer: str, target: Any) -> None:
    """The score is 0, 1 or None."""
    assert SCORERS[name](answer, target).value in (None, 0.0, 1.0)


@pytest.mark.parametrize(
    ("returned", "value"), [(True, 1.0), (False, 0.0), (None, None), (0.25, 0.25), (3, 3.0), (-1.5, -1.5)]
)
def test_a_function_returns_a_number_a_boolean_or_none(returned: Any, value: float | None) -> None:
    """None means that the row has no score; it is not an error."""
    scorer = FunctionScorer(NamedFunction("mine:score", lambda row: returned))
    assert scorer({"response": "x"}) == Score(value)
    assert scorer.errors == 0


def test_a_function_gets_a_copy_of_the_row() -> None:
    """If it changes the copy, the row stays the same."""
    row = {"response": "x"}
    assert FunctionScorer(NamedFunction("mine:score", lambda mine: bool(mine.pop("response"))))(row).value == 1.0
    assert row == {"response": "x"}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("0.5", "mine:score raised TypeError: it returned '0.5'; must return a number, True, False or None"),
        (math.nan, "mine:score raised ValueError: it returned nan; must return a finite number"),
        ([1], "mine:score raised TypeError: "),
    ],
)
def test_a_returned_value_that_is_not_a_score_is_an_error_of_the_function(returned: Any, message: str) -> None:
    """The error is counted, and the row has no score."""
    scorer = FunctionScorer(NamedFunction("mine:score", lambda row: returned))
    assert scorer({}) == NO_SCORE
    assert scorer.errors == 1
    assert (scorer.first_error or "").startswith(message)


def test_errors_of_a_function_are_counted_and_the_first_is_kept() -> None:
    """The other rows keep their scores."""
    scorer = FunctionScorer(NamedFunction("mine:score", lambda row: 1 / row["n"]))
    assert [scorer({"n": n}).value for n in (0, 2)] == [None, 0.5]
    assert scorer({}).value is None
    assert scorer.errors == 2
    assert scorer.first_error == "mine:score raised ZeroDivisionError: division by zero"
