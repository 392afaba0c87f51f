"""Finds the answer in the body of a reply, whatever is around it. Pure.

A reply is paid for. Some gateways put the answer into a list, a field, a text or a page, or send the pieces of a stream
one after the other without saying so. So a body that is not an answer itself is searched for one. Only a whole answer
is found: a piece of a stream without its end is not one.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from batchrun.answers.chat import NOTHING, Completion, completion_of, is_whole, problem_of
from batchrun.answers.kinds import embeddings
from batchrun.answers.kinds.table import shape_of
from batchrun.answers.plain import is_ordinary, plain_completion
from batchrun.answers.raw_json import dumps_joined, loads, objects_in, values_of
from batchrun.answers.stream import StreamAssembler

_DEPTH = 6
"""Deepest level that is searched: a text in a field of a list in a field has three."""

_MOST_VALUES = 1_000
"""How many values are looked at."""

_MARKS = "choices|embedding|score|output"
"""Words in the names of fields that an answer of each kind has."""

_ANSWER = re.compile(_MARKS.encode())
_INNER_ANSWER = re.compile(_MARKS)


def read_reply(body: bytes) -> Any:
    """Return the answer in a body; the JSON of the body where it has none.

    Raises:
        ValueError: there is no JSON in it, or a stream without its end.
    """
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        reply = _read_odd(body)
    if reply.__class__ is dict:
        if (choices := reply.get("choices")).__class__ is list and choices:
            return reply
        if embeddings.is_plain(reply):
            return reply
    if reply.__class__ is dict and "choices" not in reply and shape_of(reply) is not None:
        return reply
    found = next((each for each in _values(reply, _DEPTH) if _is_answer(each)), None)
    return reply if found is None else found


def parse_completion(body: bytes) -> Completion:
    """Return the shown parts of a raw answer of any kind; `NOTHING` if the body is not an answer. Never raises.

    Only the first choice is read: batchrun requests samples one by one.
    """
    plain = plain_completion(body)
    return unusual_completion(body) if plain is None else plain


def unusual_completion(body: bytes) -> Completion:
    """Return what `parse_completion` returns, without the attempt at what most bodies are."""
    try:
        reply = read_reply(body)
    except ValueError:
        return NOTHING
    if is_ordinary(reply):
        return completion_of(reply)
    return embeddings.SHAPE.completion_of(reply) if embeddings.is_plain(reply) else shown_of(reply)


def shown_of(reply: Any) -> Completion:
    """Return the shown parts of a parsed answer of any kind; `NOTHING` if it is not an answer."""
    shape = shape_of(reply)
    if shape is None or ("choices" in reply and problem_of(reply) is not None):
        return NOTHING
    return shape.completion_of(reply)


def _read_odd(body: bytes) -> Any:
    """Read a body that is not strict JSON: one object after the other is a stream."""
    try:
        reply = loads(body)
    except ValueError:
        found = next(filter(_is_answer, objects_in(body)), None) if _ANSWER.search(body) else None
        if found is None:
            raise
        return found
    if isinstance(reply, dict) and "choices" in reply and not is_whole(reply):
        values = values_of(body)
        if len(values) > 1:
            return _assembled(values)
    return reply


def _assembled(values: list[Any]) -> Any:
    """Return the answer whose pieces these are.

    Raises:
        ValueError: its end is missing.
    """
    stream = StreamAssembler()
    for value in values:
        stream.feed(b"data: " + dumps_joined(value) + b"\n\n")
    if not stream.is_complete:
        raise ValueError("a stream that ends before the answer does")
    return orjson.loads(stream.result())


def _is_answer(value: Any) -> bool:
    shape = shape_of(value)
    return shape is not None and shape.problem_of(value) is None


def _values(value: Any, depth: int) -> Iterator[Any]:
    """Yield what a value holds, also as the JSON in a text, from the outside in."""
    level = [value]
    left = _MOST_VALUES
    for _ in range(depth):
        below: list[Any] = []
        for each in level[:left]:
            yield each
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and _INNER_ANSWER.search(each):
                below += _inner(each)
        left -= len(level)
        level = below
        if left <= 0:
            return


def _inner(text: str) -> list[Any]:
    try:
        return [loads(text.encode("utf-8", "replace"))]
    except ValueError:
        return []
