"""Reads the JSON of a reply: strictly, and where that fails, as servers really write it. Pure.

A reply is paid for, so a slip of the server does not make it worthless. The tolerant read accepts a byte order mark,
other Unicode encodings, broken bytes and half surrogate pairs (they become U+FFFD), NaN and Infinity (null), control
characters inside texts, lines before the JSON and anything after it. It runs only on what orjson refuses.
"""

import json
import re
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

_decoder = json.JSONDecoder(strict=False, parse_constant=lambda name: None)


def loads(body: bytes) -> Any:
    """Return the value of a JSON body.

    Raises:
        ValueError: not even a tolerant reader finds JSON in it.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _decoded(repaired(body.decode(json.detect_encoding(body), "replace")))


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


def _decoded(text: str) -> Any:
    """Return the first JSON value of a text, or the first object that begins a line.

    Raises:
        ValueError: there is none, or it is nested too deeply.
    """
    text = text.lstrip("\ufeff \t\r\n")
    try:
        try:
            return _decoder.raw_decode(text)[0]
        except ValueError as problem:
            return _first_object(text, problem)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _first_object(text: str, problem: ValueError) -> Any:
    for number, start in enumerate(_OBJECT.finditer(text)):
        if number == _MOST_STARTS:
            break
        try:
            return _decoder.raw_decode(text, start.end())[0]
        except ValueError:
            continue
    raise problem
