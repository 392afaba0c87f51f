"""Finds the last number in a text, as people and models write numbers. Pure."""

import re
from decimal import Decimal

_WHOLE = r"(?: \d{1,3} (?: ,\d{3} )++ (?! \d ) | \d++ )"
_NUMBER = re.compile(
    rf"""
    (?: (?<! [\w.)\]}}] ) (?P<sign> [-+\u2212] ) )?  # no sign after a word or a number: 10-15, 2020-12
    (?: [$€£¥][ ]? )?
    (?<! [\w^] )                                     # not in a name or an exponent: H2O, gpt4, x^2
    (?P<digits> {_WHOLE} (?: \.\d++ )? | (?<! \. ) \.\d++ )
    (?P<exponent> [eE][-+]?\d{{1,4}}+ (?! \w ) )?
    (?P<divisors> (?: [ ]?/[ ]? {_WHOLE} (?: \.\d++ )? )*+ )
    """,
    re.VERBOSE,
)

_MOST_ZEROS = 30
"""Most zeros in a number that is written out."""


def last_number(text: str) -> Decimal | None:
    """Return the last number in a text; None when there is none.

    Reads signs, thousands separated by commas (also LaTeX's `1{,}000`), decimals, exponents (1.5e6) and fractions
    (3/4). Currency before, and percent and units after a number are ignored: 50% is 50. Numbers in names (H2O) and in
    LaTeX exponents (x^2) do not count; of a date only the last part counts. A comma is never a decimal point.
    """
    for line in reversed(text.replace("{,}", ",").splitlines()):
        *_, found = (None, *_NUMBER.finditer(line))
        if found:
            return _value(found)
    return None


def _value(found: re.Match[str]) -> Decimal | None:
    number = _decimal(found["digits"] + (found["exponent"] or ""))
    divisors = [_decimal(each) for each in found["divisors"].split("/")[1:]]
    if len(divisors) > 1:
        return divisors[-1]
    if divisors:
        if not divisors[0]:
            return None
        number /= divisors[0]
    return number.copy_negate() if found["sign"] in {"-", "\u2212"} else number


def _decimal(digits: str) -> Decimal:
    return Decimal(digits.replace(",", "").strip())


def number_text(number: Decimal) -> str:
    """Return the normal form of a number: 18 for 18.00."""
    if not number:
        return "0"
    if abs(number.adjusted()) > _MOST_ZEROS:
        return str(number.normalize())
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
