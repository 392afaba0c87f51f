"""The last number in a text."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.scores.numerals import last_number, number_text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18", "18"),
        ("The answer is 18.", "18"),
        ("She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18", "18"),
        ("#### 1,234", "1234"),
        ("$1,234.50 in all", "1234.5"),
        ("**$70,000**", "70000"),
        (r"\boxed{1{,}234}", "1234"),
        ("18.0", "18"),
        ("18.50%", "18.5"),
        ("100th", "100"),
        (".5", "0.5"),
        ("so...18", "18"),
        ("-5", "-5"),
        ("−5", "-5"),
        ("x=-5", "-5"),
        ("(-$5)", "-5"),
        ("-0", "0"),
        ("10-15", "15"),
        ("3 - 5", "5"),
        ("2020-12-31", "31"),
        ("3/4/2024", "2024"),
        ("3/4", "0.75"),
        ("1 / 1,000", "0.001"),
        ("1.5e6", "1500000"),
        ("2E-2", "0.02"),
        ("5e", "5"),
        ("1e9999", "1E+9999"),
        ("1, 2 and 3", "3"),
        ("1,2,3", "3"),
        ("18 kg of CO2", "18"),
        ("18 m^2 of H2O", "18"),
        ("18 m2", "18"),
        ("12\nthat is all", "12"),
    ],
)
def test_the_last_number_is_read_as_people_write_it(text: str, number: str) -> None:
    """With signs, thousands separators, currencies, units and fractions. Digits in names and exponents do not count."""
    found = last_number(text)
    assert found is not None
    assert number_text(found) == number


@pytest.mark.parametrize("text", ["", "eighteen", "H2O", "x^2", "1/0", ".", "-", "v2_3"])
def test_a_text_may_have_no_number(text: str) -> None:
    """Digits in a name are not a number, and a fraction with the denominator 0 is not one either."""
    assert last_number(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=3))
def test_every_number_is_read_back(number: Decimal) -> None:
    """With and without commas; the result is always written the same way."""
    for text in (f"{number:,f}", f"{number:f} apples", f"about ${abs(number):,f}0 or {number:f}."):
        found = last_number(text)
        assert found == number
        assert number_text(found) == number_text(number + Decimal("0.0000"))


@given(st.text() | st.text(st.sampled_from("0123456789.,-+/eE$%^ x\n"), max_size=30))
def test_no_text_raises_an_error(text: str) -> None:
    """The number that is returned has a bounded length."""
    found = last_number(text)
    assert found is None or len(number_text(found)) <= len(text) + 40


@pytest.mark.parametrize("part", ["1", "1,", "1,111", "1 / ", "- ", ".", "1e", "1 ", "$"])
def test_a_hostile_text_is_read_in_linear_time(part: str) -> None:
    """In quadratic time it would take minutes and exceed the timeout of the test."""
    last_number(part * (2**18 // len(part)))
