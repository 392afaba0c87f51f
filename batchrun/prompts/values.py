"""Values of a row: what they are called, and what of them may be sent. Pure."""

import math
import re
from typing import Any, NamedTuple

import orjson

from batchrun.prompts.input.digits import exact


class RowProblem(ValueError):
    """One row cannot be used; the message says why. It ends as a failed row, never as a stopped run."""


class _Kind(NamedTuple):
    is_a: tuple[type, ...]
    name: str


_KINDS = (
    _Kind((type(None),), "null"),
    _Kind((bool,), "true or false"),
    _Kind((int, float), "a number"),
    _Kind((str,), "a string"),
    _Kind((bytes,), "bytes"),
    _Kind((list, tuple), "a list"),
    _Kind((dict,), "an object"),
)


def kind_of(value: Any) -> str:
    """Return what people call a value's type."""
    return next((kind.name for kind in _KINDS if isinstance(value, kind.is_a)), f"a {type(value).__name__}")


def plain(value: Any, *, has_filled_nulls: bool = False) -> Any:
    """Return a copy of a value as it may be sent.

    Args:
        value: an object, a list, or what they hold.
        has_filled_nulls: leave out keys whose value is null: Parquet makes them of absent ones. `content` stays: a
            null there says that the message is a tool call.

    Raises:
        RowProblem: a number is NaN or infinite, which JSON cannot express.
    """
    if isinstance(value, dict):
        return {
            key: plain(each, has_filled_nulls=has_filled_nulls)
            for key, each in value.items()
            if each is not None or not has_filled_nulls or key == "content"
        }
    if isinstance(value, list):
        return [plain(each, has_filled_nulls=has_filled_nulls) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise RowProblem(f"has a parameter that is {value}, which JSON cannot express")
    return value


def is_sound(text: str) -> bool:
    """Return whether a text is UTF-8: half a surrogate pair, which stands for what is not, cannot be written."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def sound(value: Any) -> Any:
    """Return a value from JSON with null for texts that are not UTF-8."""
    if isinstance(value, str):
        return value if is_sound(value) else None
    if isinstance(value, list):
        return list(map(sound, value))
    if isinstance(value, dict):
        return {key: sound(each) for key, each in value.items() if is_sound(key)}
    return value


_PYTHON = re.compile(r"""\s*(?:array\()?[\[(]?\s*\{\s*(?:'|"[^"\\]*":\s*(?:'|None\b|True\b|False\b))""")
"""How objects begin that were written by Python's `str` or `repr`, alone or in a list."""


def from_json(text: str, name: str) -> Any:
    """Return what a JSON text in a column says; raises `RowProblem`."""
    try:
        return exact(text)
    except orjson.JSONDecodeError as problem:
        if is_python(text):
            raise RowProblem(f"{name} is not JSON but was written by Python; {PYTHON_CURE}") from None
        raise RowProblem(f"{name} is not JSON: {problem.msg}") from None


PYTHON_CURE = "write it by json.dumps(VALUE) instead of str(VALUE)"


def is_python(text: str) -> bool:
    """Return whether a text looks as if it was written by Python's `str`, and not by `json.dumps`."""
    return _PYTHON.match(text) is not None
