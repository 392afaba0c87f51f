"""What an error reply says: its message, its codes, and how long to wait, wherever they stand in it. Pure.

Servers agree on no shape. The message stands under a dozen names, at the top, in an error object or in a list; a
gateway wraps the words of the server behind it. So the whole body is walked, to a depth that no real error exceeds.
Codes are what a program wrote for programs; words only help where codes are missing.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

_MESSAGE_CHARS = 500
"""Longest message that is kept of an error: whole error pages help nobody."""

_DEPTH = 8
"""Deepest level that is read: an error in a gateway's `metadata.raw` in a list has six."""

_MOST_CODES = 32

_WORDS: tuple[str, ...] = (
    "message",
    "msg",
    "status_msg",
    "detail",
    "error_msg",
    "error_message",
    "errormessage",
    "description",
)
_WORDS += ("error_description", "reason", "title")
"""Keys of the message itself, the most telling first. Upper and lower case are the same."""

_HOLDERS = ("error", "errors", "base_resp", "response", "fault", "metadata", "raw", "innererror", "cause")
"""Keys of what may hold a message."""

_CODES = frozenset({"code", "type", "status", "reason", "error_code", "errorcode", "status_code", "quotaid"})

_DELAYS_S = {
    "retrydelay": 1.0,
    "retry_after": 1.0,
    "retryafter": 1.0,
    "retry-after": 1.0,
    "retry_after_seconds": 1.0,
    "retry_after_ms": 0.001,
}
"""Keys of a wait, and their unit. Source: google.rpc.RetryInfo; OpenRouter and Discord-like APIs."""

_SPAN = r"(?:\d+(?:\.\d+)?\s*(?:ms|milli|s|m|h)[a-z]*\s*)+"
_ADVICE = re.compile(rf"\b(?:again|retry|wait)\b.{{0,20}}?({_SPAN})", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|s|m|h)", re.IGNORECASE)
_UNITS_S = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_WORD = re.compile(r"[^\W\d_]+")
_ALIKE = 0.6
"""Least share of words that two messages of the same reason have in common: a request id or an echo may differ."""


class Reason(NamedTuple):
    """What an error reply says."""

    message: str = ""
    """In one line, without control characters."""
    codes: tuple[str, ...] = ()
    """Machine-readable codes, types, statuses and reasons, in lower case."""
    advice_s: float | None = None
    """How long the body asks to wait."""

    def is_like(self, other: "Reason") -> bool:
        """Return whether both give the same reason, apart from numbers, quoted parts and ids."""
        ours, theirs = self._words(), other._words()
        return len(ours & theirs) >= _ALIKE * len(ours | theirs)

    def _words(self) -> set[str]:
        plain = _QUOTED.sub(" ", self.message.lower())
        words = (word for word in plain.split() if not any(letter.isdigit() for letter in word))
        return {found for word in words for found in _WORD.findall(word)} | set(self.codes)


def read_reason(body: bytes) -> Reason:
    """Return what an error body says, whatever its shape; of plain text and HTML, the readable beginning."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict | list) or not answer:
        text = plain_text(body)
        return Reason(text, (), _advice_in(text))
    message = printable(": ".join(_messages(answer)))
    pairs = list(_pairs(answer, _DEPTH))
    codes = [str(value).lower() for key, value in pairs if key in _CODES and _is_code(value)]
    stated = (_delay_s(value, _DELAYS_S[key]) for key, value in pairs if key in _DELAYS_S)
    advice_s = next((seconds for seconds in stated if seconds is not None), None)
    shown = message or (plain_text(body) if isinstance(answer, list) else "")
    return Reason(shown, tuple(codes[:_MOST_CODES]), _advice_in(message) if advice_s is None else advice_s)


def _messages(answer: Any) -> list[str]:
    """Return the distinct messages of an error, from the outside in; none that is a part of another."""
    found: list[str] = []
    for text in _texts(answer, _DEPTH):
        if text.strip() and not any(text in each for each in found):
            found.append(text)
        if len(found) == 3:
            break
    return found


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield from _texts_inside(value, depth)
    elif isinstance(value, list) and depth:
        for each in value[:_MOST_CODES]:
            if not isinstance(each, str):
                yield from _texts(each, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _texts_of(value, depth - 1)


def _texts_of(error: dict[str, Any], depth: int) -> Iterator[str]:
    """Yield the messages of an object: of the error in it, its own, then what else may hold one."""
    named = {key.lower(): each for key, each in error.items()}
    inner = named.get("error")
    if not isinstance(inner, str):
        yield from _texts(inner, depth)
    words = next((named[key] for key in _WORDS if named.get(key)), None)
    yield from _texts(words, depth) if isinstance(words, str) else [_as_text(words)] if words else []
    for key in _HOLDERS:
        if key != "error" or isinstance(inner, str):
            yield from _texts(named.get(key), depth)


def _texts_inside(text: str, depth: int) -> Iterator[str]:
    """Yield a text, or the messages in it when it is the JSON of another server's error."""
    if depth and text.lstrip()[:1] in ("{", "["):
        try:
            inner = orjson.loads(text)
        except orjson.JSONDecodeError:
            inner = None
        found = list(_texts(inner, depth - 1))
        if found:
            yield from found
            return
    yield text


def _pairs(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if not depth:
        return
    if isinstance(value, dict):
        for key, each in list(value.items())[:_MOST_CODES]:
            yield key.lower(), each
            yield from _pairs(each, depth - 1)
    elif isinstance(value, list):
        for each in value[:_MOST_CODES]:
            yield from _pairs(each, depth - 1)


def _is_code(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and 0 < len(value) <= 100 and " " not in value)


def _delay_s(value: Any, unit_s: float) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _span_s(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return value * unit_s


def _advice_in(text: str) -> float | None:
    found = _ADVICE.search(text)
    return _span_s(found[1]) if found else None


def _span_s(text: str) -> float | None:
    """Return the seconds of a span such as `2.5s`, `6m0s` or `12 seconds`."""
    parts = _PART.findall(text)
    return sum(float(number) * _UNITS_S[unit.lower()] for number, unit in parts) if parts else None


def _as_text(message: Any) -> str:
    try:
        return orjson.dumps(message).decode()
    except TypeError:  # orjson reads deeper nesting than it writes
        return ""


_TAGS = re.compile(r"<(script|style).*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def plain_text(body: bytes) -> str:
    """Return the readable beginning of a body that is not JSON; of HTML, its text."""
    return printable(_TAGS.sub(" ", body[:10_000].decode("utf-8", "replace")))


def printable(text: str) -> str:
    """Return the beginning of a text in one line, without control characters: terminals would obey them."""
    text = text[: 4 * _MESSAGE_CHARS]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())[:_MESSAGE_CHARS]
