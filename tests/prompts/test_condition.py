"""The condition of `--where`: what it chooses, and what its messages say."""

from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.prompts.condition import Condition
from batchrun.prompts.template import TemplateProblem


@pytest.mark.parametrize(
    ("text", "row", "holds"),
    [
        ("stars > 3", {"stars": 4}, True),
        ("stars > 3", {"stars": 3}, False),
        ('stars > 3 and lang == "en"', {"stars": 4, "lang": "de"}, False),
        ('lang in ["de", "en"] or stars == 5', {"lang": "de", "stars": 1}, True),
        ("stars | float > 3", {"stars": "3.5"}, True),
        ('row["review text"] == "a"', {"review text": "a"}, True),
        ("text | length > 2", {"text": "abc"}, True),
        ("tags", {"tags": []}, False),
        ('"%}" in text', {"text": "a %} b"}, True),
        ("range == 1", {"range": 1}, True),
    ],
)
def test_a_condition_is_an_expression_over_the_columns(text: str, row: dict[str, Any], holds: bool) -> None:
    assert Condition(text).holds(row) is holds


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("stars > 3", {"stars": None}),
        ("stars > 3", {}),
        ("not stars > 3", {"stars": None}),
        ('lang == "en"', {"lang": None}),
        ('lang == "en"', {}),
        ("first.score > 0.5", {"first": {"score": None}}),
        ('row["a b"] > 3', {"a b": None}),
    ],
)
def test_a_row_without_the_value_does_not_meet_it(text: str, row: dict[str, Any]) -> None:
    assert Condition(text).holds(row) is False


def test_a_missing_value_can_be_asked_for() -> None:
    assert Condition("stars is none").holds({"stars": None})
    assert Condition("stars is not defined").holds({"a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stars = 3", "input.where = 'stars = 3'; more follows after its end; two values are compared with =="),
        ("stars > 3 && x", "two conditions are joined by and"),
        ("stars > 3 AND x", "two conditions are joined by and"),
        ("stars > 3 || x", "either is allowed by or"),
        ("stars IS NULL", "a missing value is found by `is none`"),
        ("{{ stars > 3 }}", "a condition is written without braces: stars > 3"),
        ("stars >", "= 'stars >'; unexpected end of the condition"),
        ("(stars > 3", "unexpected end of the condition, expected ')'"),
        ("stars |", "unexpected end of the condition, expected a name"),
        ("stars | nope", "No filter named 'nope'"),
        ("stars | random", "No filter named 'random'"),
        ("a }}{{ b", "more follows after its end"),
        ("a %}{% if b", "unexpected '}'"),
        ("3 > 2", "must read a column"),
    ],
)
def test_a_condition_that_does_not_compile_is_refused_with_the_cure(text: str, message: str) -> None:
    with pytest.raises(JobError) as refused:
        Condition(text)
    assert "input.where" in str(refused.value)
    assert message in str(refused.value)


def test_an_equals_sign_in_a_text_gets_no_hint() -> None:
    with pytest.raises(JobError) as refused:
        Condition("a == 'x = y' b")
    assert "compared" not in str(refused.value)


def test_a_text_that_is_compared_with_a_number_is_named_with_the_cure() -> None:
    """All values of CSV are texts."""
    with pytest.raises(TemplateProblem, match=r"input\.where cannot be evaluated: .* by the filter float"):
        Condition("stars > 3").holds({"stars": "4"})


def test_the_sandbox_holds() -> None:
    with pytest.raises(TemplateProblem, match="cannot be evaluated"):
        Condition("a.__class__.__mro__").holds({"a": 1})


def test_columns_that_it_needs_are_known() -> None:
    assert Condition("starz > 3 and x is defined").missing(["stars"]) == ["starz"]
    assert Condition("first.scor > 1").missing(["first", "first.score", "first.status"]) == ["first.scor"]
