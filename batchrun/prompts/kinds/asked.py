"""What a finished body asks, whatever its kind: for those who count it, show it or judge its answer. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

KEYS = ("instructions", "messages", "prompt", "input", "query", "documents", "text_1", "text_2")
"""The keys of all kinds that hold what is asked, in the order in which people read it."""

_PAIRS = {"query": "documents", "text_1": "text_2"}
"""What is given to the model once with each of the others. Source: vLLM's cross encoders."""

_INNER = ("text", "content", "output", "arguments")
"""Keys of items and parts that hold texts."""


def asked_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a body that holds what is asked."""
    return {key: body[key] for key in KEYS if key in body}


def texts_in(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that a model is given: of what is asked, and the tools as JSON."""
    for key, value in asked_in(body).items():
        if key == "messages":
            yield from _texts_of(value)
        else:
            others = body.get(_PAIRS.get(key, ""))
            for _ in range(len(others) if isinstance(others, list) else 1):
                yield from _strings(value)
    if body.get("tools"):
        yield orjson.dumps(body["tools"]).decode()


def tokens_in(body: Mapping[str, Any]) -> int:
    """Return how many token ids a body has in the place of texts."""
    return sum(map(_count, (body.get(key) for key in ("prompt", "input"))))


def _texts_of(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from (
                part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
        if message.get("tool_calls"):
            yield orjson.dumps(message["tool_calls"]).decode()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for key in _INNER:
            yield from _strings(value.get(key))


def _count(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_count, value))
    return type(value) is int
