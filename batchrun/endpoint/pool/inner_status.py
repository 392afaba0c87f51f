"""Finds the status that an error carries inside: as a number, as the name of a code, or in words. Pure.

Gateways answer 400, 403 or 200 where the server behind them was full or away. Its status is still in the reply. Against
a status that is final only what passes counts: a limit, an overload, an outage.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529, *range(520, 528)})
"""Statuses that may be followed by an answer to the same request."""

_UNSURE = frozenset(range(400, 500)) - frozenset({402, 410, 413, 414, 431}) - _PASSING
"""Statuses that gateways put around those that pass. A size, an end and an empty account are never meant so."""

_NAMES = {each.name.replace("_", ""): each.value for each in HTTPStatus if each.value >= 400 and "_" in each.name} | {
    "UNAVAILABLE": 503,
    "DEADLINEEXCEEDED": 504,
    "RESOURCEEXHAUSTED": 429,
    "UNAUTHORIZED": 401,
    "UNAUTHENTICATED": 401,
    "PERMISSIONDENIED": 403,
    "INVALIDREQUEST": 400,
    "AUTHENTICATION": 401,
    "PERMISSION": 403,
}
"""Names of statuses, without underscores and the ending "error". Source: RFC 9110, but not its names that are a single
word of everyday, such as Gone; the codes of gRPC; OpenAI, Anthropic."""


class _Rule(NamedTuple):
    status: int
    pattern: re.Pattern[str]


def _rule(status: int, pattern: str) -> _Rule:
    return _Rule(status, re.compile(pattern))


_NAMED = (
    _rule(429, r"\w*rate_?limit(ed|_?exceeded|_?reached)?|throttlingexception|(server|system)_?busy"),
    _rule(429, r"\w*capacity_?exceeded|too_?many_?\w+"),
    _rule(503, r"\w*overload(ed)?|(server|service|temporarily)_?unavailable"),
    _rule(504, r"(api|gateway|request|upstream)?_?time_?d?_?out"),
    _rule(500, r"(internal_?server|internal|server)_?(error|exception)"),
)
"""Names of codes that each vendor makes in its own way, with or without the ending "error"."""

_ENDING = re.compile(r"[ _-]?(error|exception)$")

_OF_LINK = re.compile(r"image|picture|\w*url\b|download|fetch|\bfiles?\b|audio|video")
"""Words and codes of what the server had to load for the row: a link that is broken is the row's."""

_WORDS = (
    *(_rule(each.value, rf"\b{each.value} {each.phrase.lower()}\b") for each in HTTPStatus if each in _PASSING),
    _rule(
        503,
        r"\boverloaded\b|\b(service|server|backend|upstream|engine)( is)?( \w+)? unavailable\b(?! (in|for|to|with)\b)",
    ),
    _rule(504, r"\b(gateway|upstream|backend|connection|server)( \w+)? tim(e|ed)[ -]?out\b"),
    _rule(
        502,
        r"\b(bad gateway|server disconnected|remote end closed|upstream (connect|error)"
        r"|connection (\w+ )?(aborted|reset|refused|error|closed))\b",
    ),
    _rule(500, r"\binternal server error\b"),
)
"""A status with its phrase, as "429 Too Many Requests", and other words of an outage; `kinds` has those of a limit."""

MOST_CHARS = 300
"""Longest reply with status 200 whose words are read: an answer of another form may contain any words."""


def stated_status(codes: Iterable[str], text: str) -> int | None:
    """Return the status of an error that came with a status of success; None when it states none.

    Args:
        codes: of the reply, in lower case, in its order.
        text: its words, in lower case.
    """
    stated = next(filter(None, map(_status_of, codes)), None)
    return _status_in(text) if stated is None and len(text) <= MOST_CHARS else stated


def passing_status(status: int, codes: Iterable[str]) -> int:
    """Return the first status that passes among the codes of an error, if its own is final; else its own.

    A 500 is only replaced by a limit: an answer that has begun counts as a 500 whatever its code.
    """
    passing = _PASSING if status in _UNSURE else frozenset({429}) if status == 500 else frozenset()
    return next((found for found in map(_status_of, codes) if found is not None and found in passing), status)


def passing_in_words(status: int, text: str) -> int:
    """Return the status that passes and that the words of an error name, if its own is final; else its own."""
    found = _status_in(text) if status in _UNSURE else None
    return status if found is None else found


def _status_of(code: str) -> int | None:
    if code.isdecimal():
        return int(code) if len(code) == 3 and 400 <= int(code) <= 599 else None
    names = (code, _ENDING.sub("", code))
    known = next((_NAMES[key] for key in (name.replace("_", "").upper() for name in names) if key in _NAMES), None)
    return known or next((rule.status for rule in _NAMED if any(map(rule.pattern.fullmatch, names))), None)


def _status_in(text: str) -> int | None:
    found = next((rule.status for rule in _WORDS if rule.pattern.search(text)), None)
    return None if found is None or _OF_LINK.search(text) else found
