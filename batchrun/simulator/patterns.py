"""A text that a regular expression matches; randomness is an argument.

Python's own parser reads the expression. Elements that this module does not support (look-ahead, back references) are
ignored; the caller checks the text.
"""

from __future__ import annotations

import re
import string
from functools import lru_cache
from importlib import import_module
from random import Random
from typing import Any

# The parser has no public name; it is here in Python 3.11 to 3.14.
_parser: Any = import_module("re._parser")

_PRINTABLE = string.ascii_letters + string.digits + " -_.,"
_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_letters,
    "CATEGORY_NOT_WORD": " -.,",
    "CATEGORY_NOT_SPACE": string.ascii_letters + string.digits,
}
# A repetition makes at most this many more than its minimum.
_MORE = 3


def match_pattern(pattern: str, random: Random) -> str:
    """Return a text that a regular expression probably matches.

    Raises:
        ValueError: the pattern is not a regular expression.
    """
    return "".join(_text(node, random) for node in _parsed(pattern))


@lru_cache(maxsize=64)
def _parsed(pattern: str) -> Any:
    try:
        return _parser.parse(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error


def _text(node: tuple[Any, Any], random: Random) -> str:
    kind, value = str(node[0]), node[1]
    match kind:
        case "LITERAL":
            return chr(value)
        case "ANY":
            return random.choice(_PRINTABLE)
        case "NOT_LITERAL":
            return random.choice(_PRINTABLE.replace(chr(value), ""))
        case "IN":
            return random.choice(_letters(value))
        case "BRANCH":
            return "".join(_text(part, random) for part in random.choice(value[1]))
        case "SUBPATTERN":
            return "".join(_text(part, random) for part in value[-1])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            low, high, inner = value
            times = random.randint(low, min(high, low + _MORE))
            return "".join(_text(part, random) for _ in range(times) for part in inner)
    return ""


def _letters(members: list[tuple[Any, Any]]) -> str:
    letters = ""
    for kind, value in members:
        match str(kind):
            case "LITERAL":
                letters += chr(value)
            case "RANGE":
                letters += "".join(map(chr, range(value[0], min(value[1], value[0] + 127) + 1)))
            case "CATEGORY":
                letters += _CATEGORIES.get(str(value), "")
    if str(members[0][0]) == "NEGATE":
        return "".join(letter for letter in _PRINTABLE if letter not in letters) or "~"
    return letters or " "
