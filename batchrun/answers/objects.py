"""Finds the JSON objects in a text: models wrap them in code fences, add prose, and break small rules of JSON. Pure.

Slips that allow only one reading are accepted: prose around the object, trailing commas, `//` comments, line breaks
inside strings. Slips that would need a guess are not: after a missing quote or bracket, or a missing end, the answer
could be another one. An object inside a broken object is not used, as it is only a part. Linear in the text's length.
"""

import re
from typing import Any, NamedTuple

import orjson

_MOST_OBJECTS = 100
"""An answer with so many objects is a list of something else, and checking each takes time."""

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
"""A string, also one without its last quote: it is then read once, not again from each quote inside."""
_OPENING = re.compile(r'\{\s*+(?:["}]|//)')
"""The start of an object. Other braces belong to prose, LaTeX and code."""
_BRACES = re.compile(_STRING + r"|[{}]", re.DOTALL)
_COMMENTS = re.compile(rf"({_STRING})|//[^\n]*+", re.DOTALL)
_COMMAS = re.compile(rf"({_STRING})|,(?=\s*+[}}\]])", re.DOTALL)
_CONTROL = re.compile(r"(?<!\\)[\x00-\x1f]")
"""Characters that a string must escape; after a backslash their meaning is unknown."""

_THOUGHT = "</think>"
"""Ends the reasoning of models whose chat template already contains the opening tag."""


class Found(NamedTuple):
    """The outermost objects of a text, in order."""

    objects: list[dict[str, Any]]
    problem: str | None
    """Why the last text that looks like an object is not one; None when there is no such text."""


def find_objects(text: str) -> Found:
    """Return the outermost JSON objects in a text. Never raises."""
    text = text.rpartition(_THOUGHT)[2]
    objects: list[dict[str, Any]] = []
    problem = None
    end = 0
    for _ in range(_MOST_OBJECTS):
        opening = _OPENING.search(text, end)
        if not opening:
            return Found(objects, problem)
        start = opening.start()
        end = _end_of_object(text, start)
        if not end:
            return Found(objects, "its JSON object has no end: the answer was cut off, or a quote or brace is missing")
        try:
            objects.append(_parse(text[start:end]))
        except orjson.JSONDecodeError as error:
            problem = f"its JSON object cannot be read: {error.msg}"
    return Found([], f"it holds {_MOST_OBJECTS} JSON objects or more")


def _end_of_object(text: str, start: int) -> int:
    """Return the end of the object that starts here; 0 when it has no end."""
    depth = 0
    for token in _BRACES.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return 0


def _parse(text: str) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            parsed = orjson.loads(_corrected(text))
        except orjson.JSONDecodeError:
            raise error from None  # its line and column refer to the text that the model wrote
    return parsed


def _corrected(text: str) -> str:
    text = _COMMENTS.sub(_string_of, text)
    return _COMMAS.sub(_string_of, text)


def _string_of(token: re.Match[str]) -> str:
    """Keep a string, with its control characters escaped; drop every other match."""
    return _CONTROL.sub(lambda character: f"\\u{ord(character[0]):04x}", token[1] or "")
