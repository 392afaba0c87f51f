"""The JSON objects in a text: models wrap them in code fences, talk around them, and break small rules of JSON.

What can be read in only one way is read: text around, trailing commas, `//` comments, line breaks inside strings. What
would need a guess is not: a missing quote or bracket, or an end that was cut off, could as well be another answer.
An object inside a broken one is not looked at, for it is a part and not the whole. Linear in the length of the text.
"""

import re
from typing import Any, NamedTuple

import orjson

_MOST_OBJECTS = 100
"""An answer with so many is a list of something else, and checking each takes time."""

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
"""A string; without its last quote too, so that it is read once and not again from each quote inside it."""
_OPENING = re.compile(r'\{\s*+(?:["}]|//)')
"""What starts an object. Other braces are those of prose, LaTeX and code."""
_BRACES = re.compile(_STRING + r"|[{}]", re.DOTALL)
_COMMENTS = re.compile(rf"({_STRING})|//[^\n]*+", re.DOTALL)
_COMMAS = re.compile(rf"({_STRING})|,(?=\s*+[}}\]])", re.DOTALL)
_CONTROL = re.compile(r"(?<!\\)[\x00-\x1f]")
"""Characters that a string must escape; behind a backslash nobody knows what was meant."""

_THOUGHT = "</think>"
"""Ends the thoughts of models whose chat template already wrote the opening tag."""


class Found(NamedTuple):
    """The outermost objects of a text, in their order."""

    objects: list[dict[str, Any]]
    problem: str | None
    """What is wrong with the last thing that looks like an object and is none; None when there is no such thing."""


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
    """Return where the object that starts here ends; 0 when it does not."""
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
            parsed = orjson.loads(_mended(text))
        except orjson.JSONDecodeError:
            raise error from None  # its line and column are those of the text as the model wrote it
    return parsed


def _mended(text: str) -> str:
    text = _COMMENTS.sub(_string_of, text)
    return _COMMAS.sub(_string_of, text)


def _string_of(token: re.Match[str]) -> str:
    """Keep a string, with its control characters escaped; drop everything else that was matched."""
    return _CONTROL.sub(lambda character: f"\\u{ord(character[0]):04x}", token[1] or "")
