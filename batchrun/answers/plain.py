"""Reads the most frequent kinds of chat completion faster than any other. Pure.

`envelope` reads every kind; where this reads one, it finds the same.
"""

from typing import Any

import orjson

from batchrun.answers.chat import EITHER_TAG, Completion, is_ordinary
from batchrun.answers.usage import parse_usage
from batchrun.records import Usage

_ENDS = frozenset({"stop", "length"})

_OTHERS = frozenset(
    {"reasoning", "reasoning_content", "reasoning_details", "tool_calls", "function_call", "refusal", "error"}
)
"""Fields of a message that would be shown too, or say that it is an error."""

_new = tuple.__new__


def ordinary_usage(body: bytes) -> Usage | None:
    """Return the token counts of a body that is an ordinary chat completion; None of any other.

    So one look shows that the body is neither a stream, nor packed, nor an error.
    """
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parse_usage(reply) if is_ordinary(reply) else None


def plain_completion(reply: Any) -> Completion | None:
    """Return the shown parts of a parsed body that has one choice with a text and nothing else; None for all others."""
    if reply.__class__ is not dict or "error" in reply:
        return None
    choices, response_id = reply.get("choices"), reply.get("id")
    if choices.__class__ is not list or len(choices) != 1 or (choice := choices[0]).__class__ is not dict:
        return None
    message, finish_reason = choice.get("message"), choice.get("finish_reason")
    if message.__class__ is not dict or "error" in choice or finish_reason.__class__ is not str:
        return None
    response = message.get("content")
    if response.__class__ is not str or response_id.__class__ is not str or finish_reason not in _ENDS:
        return None
    for name in message:
        if name in _OTHERS and (message[name] or name == "error"):
            return None
    if EITHER_TAG in response:
        return None
    return _new(Completion, (response, None, None, finish_reason, response_id, None, None, None))
