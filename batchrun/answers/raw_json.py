"""Reads the JSON of a reply: strictly, and where that fails, as servers really write it. Pure.

A reply is paid for, so a slip of the server does not make it worthless. The tolerant read accepts a byte order mark,
other Unicode encodings, broken bytes and half surrogate pairs (they become U+FFFD), NaN and Infinity (null), control
characters inside texts, lines before the JSON and anything after it. It runs only on what orjson refuses.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

_MOST_STARTS = 8
"""How many lines that begin like an object are tried. A page of HTML may have many of them."""

_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    r"|(?P<bytes>(?:\\udc[89a-f][0-9a-f])+)"  # broken bytes, as `loads_piece` keeps them
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)
"""The escapes of a JSON text. Whole pairs and other escapes are matched too, so that no match begins inside one."""

_OBJECT = re.compile(r"^[ \t]*(?=\{)", re.MULTILINE)

_DEEPEST = 200
"""Deepest level that is read of JSON that is too deep for Python. No answer has ten."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)

_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}:]|[^\s,\[\]{}:"]++', re.DOTALL)
"""Texts, brackets, colons, and other values of sound JSON."""

_BETWEEN = re.compile(r"[\s,\x1e]*+")
"""What stands between JSON values that follow one another. Source: RFC 7464 and what servers send."""

_decoder = json.JSONDecoder(strict=False, parse_constant=lambda name: None)


def loads(body: bytes) -> Any:
    """Return the value of a JSON body.

    Raises:
        ValueError: not even a tolerant reader finds JSON in it.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _decoded(_text_of(body))


def loads_piece(data: bytes) -> Any:
    """Return the value of one JSON piece of a stream, whose texts may begin or end inside a character.

    Half surrogate pairs and broken bytes stay in the texts. Join the pieces, then write them with `dumps_joined`.

    Raises:
        ValueError: not even a tolerant reader finds JSON in it.
    """
    return _decoded(data.decode("utf-8", "surrogateescape"))


def dumps_joined(value: Any) -> bytes:
    """Return the JSON of a value that was joined from pieces; halves that met are one character now.

    Raises:
        ValueError: the value is nested too deeply.
    """
    try:
        return repaired(json.dumps(value, separators=(",", ":"))).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_text(value: Any) -> str | None:
    """Return the JSON of a part of a reply; None when it is nested deeper than orjson writes, as no real one is."""
    try:
        return orjson.dumps(value).decode()
    except TypeError as problem:
        return json.dumps(value) if "surrogate" in str(problem) else None


def repaired(text: str) -> str:
    """Return a JSON text whose escapes stand for whole characters only."""
    return _ESCAPES.sub(_repaired_escape, text) if "\\u" in text else text


def _repaired_escape(found: re.Match[str]) -> str:
    if found["half"]:
        return "\\ufffd"
    if codes := found["bytes"]:
        broken = bytes(int(code, 16) & 0xFF for code in codes.split("\\u")[1:])
        return json.dumps(broken.decode("utf-8", "replace"))[1:-1]
    return found[0]


def object_at(data: bytes, *keys: str) -> bytes | None:
    """Return the bytes of an object that stands in other objects, as they are; None where there is none.

    Args:
        data: a sound JSON object.
        keys: that lead to it, at least one.
    """
    place = place_of(data, *keys)
    return data[place] if place is not None and data.startswith(b"{", place.start) else None


def place_of(data: bytes, *keys: str) -> slice | None:
    """Return where a value stands in an object and in the objects in it; None where there is none.

    Args:
        data: a sound JSON object.
        keys: that lead to the value, at least one. Of a key that an object has twice, the first counts.
    """
    depth = matched = begin = 0
    name, is_value = b"", False
    for token in _TOKENS.finditer(data):
        kind = token[0][:1]
        if is_value:  # of the key that was looked for last
            is_value, begin = False, token.start()
            if matched < len(keys) and kind != b"{":
                return None
            if kind not in b"{[":
                return slice(begin, token.end())
        if kind in b"{[":
            depth += 1
        elif kind in b"}]":
            depth -= 1
            if depth <= matched:
                return slice(begin, token.end()) if matched == len(keys) else None
        elif kind == b'"':
            name = token[0]
        elif kind == b":" and depth == matched + 1 and matched < len(keys) and orjson.loads(name) == keys[matched]:
            matched, is_value = matched + 1, True
    return None


def with_value(data: bytes, key: str, value: bytes) -> bytes:
    """Return an object with another value of a key, which comes first if it is new; nothing else changes.

    Args:
        data: a sound JSON object, not empty.
        key: of the object; no character in it needs an escape.
        value: JSON.
    """
    place = place_of(data, key)
    if place is not None:
        return data[: place.start] + value + data[place.stop :]
    return b'{"%b":%b,' % (key.encode(), value) + data[data.index(b"{") + 1 :]


def has_twins(data: bytes, value: Any) -> bool:
    """Return whether an object in a JSON text has a key twice: readers need not agree on which of the two counts.

    Args:
        data: sound JSON.
        value: what orjson reads in it.
    """
    # Of a key that stands twice, orjson keeps one: with the other, a colon is gone. `\u003a` is a colon in a text.
    if b"\\u003" not in data and data.count(b":") == orjson.dumps(value).count(b":"):
        return False
    are_twins: list[bool] = []
    json.loads(data, object_pairs_hook=lambda pairs: are_twins.append(len(dict(pairs)) < len(pairs)))
    return any(are_twins)


def values_of(body: bytes) -> list[Any]:
    """Return the JSON values of a body that stand one after the other, up to the first that cannot be read."""
    text, found = _text_of(body), []
    end = 0
    while (start := _next_value(text, end)) < len(text):
        try:
            value, end = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            break
        found.append(value)
    return found


def objects_in(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects of a text such as a page."""
    text = _text_of(body)
    end = 0
    for _ in range(_MOST_STARTS):
        start = text.find('{"', end)
        if start < 0:
            return
        try:
            value, end = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield value


def _text_of(body: bytes) -> str:
    return repaired(body.decode(json.detect_encoding(body), "replace")).lstrip("\ufeff \t\r\n")


def _next_value(text: str, end: int) -> int:
    found = _BETWEEN.match(text, end)
    return found.end() if found else end


def _decoded(text: str) -> Any:
    """Return the first JSON value of a text, or the first object that begins a line.

    Raises:
        ValueError: there is none, or it is nested too deeply.
    """
    text = text.lstrip("\ufeff \t\r\n")
    try:
        return _first_value(text)
    except RecursionError:
        pass
    try:
        return _first_value(_shallow(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _first_value(text: str) -> Any:
    try:
        return _decoder.raw_decode(text)[0]
    except ValueError as problem:
        return _first_object(text, problem)


def _shallow(text: str) -> str:
    """Return a JSON text with null in place of what is nested too deeply: an answer may stand next to it."""
    kept: list[str] = []
    depth = last = 0
    for token in _BRACKETS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == _DEEPEST + 1:
                kept += (text[last : token.start()], "null")
        elif token[0] in "]}":
            if depth == _DEEPEST + 1:
                last = token.end()
            depth -= 1
    return "".join((*kept, text[last:] if depth <= _DEEPEST else ""))


def _first_object(text: str, problem: ValueError) -> Any:
    for number, start in enumerate(_OBJECT.finditer(text)):
        if number == _MOST_STARTS:
            break
        try:
            return _decoder.raw_decode(text, start.end())[0]
        except ValueError:
            continue
    raise problem
