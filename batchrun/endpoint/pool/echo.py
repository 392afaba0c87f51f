"""What an error repeats of the request that it answers: those words say nothing about the error. Pure."""

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import orjson

_LEAST_CHARS = 12
"""Shorter texts are not looked for: they may be words of the error itself. An echo that is cut short has as many."""


def without_echo(words: str, sent: bytes) -> str:
    """Return the words of an error without what they repeat of the texts of the request, or of their beginnings.

    Args:
        words: in lower case, with single spaces.
        sent: the body of the request; nothing is repeated of one that is not JSON.
    """
    for text in map(_plain, _texts_of(sent)):
        beginning = text[:_LEAST_CHARS]
        at = words.find(beginning) if len(beginning) == _LEAST_CHARS else -1
        while at >= 0:
            end = at + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(words[at:], text, strict=False)))
            words = f"{words[:at]} {words[end:]}"
            at = words.find(beginning, at)
    return words


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _texts_of(sent: bytes) -> Iterator[str]:
    try:
        request = orjson.loads(sent)
    except orjson.JSONDecodeError:
        return
    messages = request.get("messages") if isinstance(request, dict) else None
    for message in messages if isinstance(messages, list) else ():
        yield from _texts_in(message.get("content") if isinstance(message, dict) else None)


def _texts_in(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
