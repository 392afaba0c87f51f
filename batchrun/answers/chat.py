"""Reads chat completions: whether a reply is one, its text, reasoning, tool calls and token counts. Pure.

A reply is parsed once into a dict; `problem_of`, `parse_usage` and `completion_of` read this dict. Servers agree on its
outline and on little else, so every value is checked: a value of a wrong type counts as absent, except the content,
which must be right. `problem_of` and `parse_usage` run once per answer while the pool is busy, so they are kept fast.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from batchrun.records import Usage

_MOST_TOKENS = 2**31 - 1
"""More than any context window holds; sums over four billion answers still fit the int64 of the results."""

_NO_USAGE = Usage()

_CONTENT = (str, list, type(None))
"""Types of a message's content: a text, parts, or null next to tool calls."""

_THINK, _THOUGHT = "<think>", "</think>"
"""The tags that open models write around their reasoning, if no parser of the server removes it."""


class Completion(NamedTuple):
    """The parts of an answer that the results show."""

    response: str | None = None
    """The text; None when the model only called tools."""
    reasoning: str | None = None
    tool_calls: str | None = None
    """JSON: the list as the server sent it."""
    finish_reason: str | None = None
    response_id: str | None = None


NOTHING = Completion()
"""The result for a body that is not a chat completion."""

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of answers."""


def problem_of(reply: Any) -> str | None:
    """Return why a parsed body is not a chat completion; None when it is one.

    Needed for status 200 too: some gateways send errors with it.
    """
    if not isinstance(reply, dict):
        return "the answer is not a JSON object"
    if error := reply.get("error"):
        return f"the answer is an error: {_message_of(error)}"
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        return "the answer has no choices"
    for choice in choices:
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            return "the answer has a choice without a message"
        if not isinstance(message.get("content"), _CONTENT):
            return "the answer's content is not a text"
    return None


def _message_of(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else "it gives no reason"


def parse_usage(reply: Mapping[str, Any]) -> Usage:
    """Return the token counts of a reply; None for a count that is absent, negative or not an integer."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return _NO_USAGE
    get = usage.get
    prompt, completion = get("prompt_tokens_details"), get("completion_tokens_details")
    cached = None if prompt is None else _detail(prompt, "cached_tokens")
    reasoning = None if completion is None else _detail(completion, "reasoning_tokens")
    counts = (_count(get("prompt_tokens")), _count(get("completion_tokens")), _count(get("total_tokens")))
    return _new(Usage, (*counts, cached, reasoning))


def _count(value: Any) -> int | None:
    # `type is`: isinstance would take True for 1.
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _detail(details: Any, name: str) -> int | None:
    return _count(details.get(name)) if isinstance(details, dict) else None


def parse_completion(body: bytes) -> Completion:
    """Return the shown parts of a raw answer; `NOTHING` if the body is not a chat completion. Never raises.

    Only the first choice is read: batchrun requests samples one by one.
    """
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return NOTHING
    return NOTHING if problem_of(reply) else completion_of(reply)


def completion_of(reply: Mapping[str, Any]) -> Completion:
    """Return the shown parts of a parsed answer in which `problem_of` finds no problem."""
    choice = reply["choices"][0]
    message = choice["message"]
    finish_reason = choice.get("finish_reason")
    response = message.get("content")
    if response.__class__ is not str:
        response = text_of(response)
    reasoning = message.get("reasoning") or message.get("reasoning_content") or None
    if reasoning.__class__ is not str:
        reasoning = _text(message.get("reasoning_content")) or None
    if reasoning is None and response and response.lstrip().startswith(_THINK):
        response, reasoning = _split_thought(response, finish_reason)
    calls = _tool_calls(message) if message.get("tool_calls") or message.get("function_call") else None
    return _new(Completion, (response, reasoning, calls, _text(finish_reason), _text(reply.get("id"))))


def text_of(content: Any) -> str | None:
    """Return the text of a message's content: a string, or the text parts of a list; None when there is no text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type", "text") == "text"]
    texts = [text for text in parts if isinstance(text, str)]
    return "".join(texts) if texts else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _split_thought(content: str, finish_reason: str | None) -> tuple[str, str | None]:
    """Return response and reasoning of a text that starts with `<think>`."""
    thought, closed, response = content.lstrip().removeprefix(_THINK).partition(_THOUGHT)
    if not closed and finish_reason != "length":
        return content, None  # not cut off: the tag is part of the answer
    # Models leave an empty thought when reasoning is switched off.
    return response.lstrip(), thought.strip() or None


def _tool_calls(message: Mapping[str, Any]) -> str | None:
    calls = message.get("tool_calls")
    if not calls and isinstance(function := message.get("function_call"), dict):
        calls = [{"type": "function", "function": function}]  # older servers: one call, without id
    if not calls or not isinstance(calls, list):
        return None
    try:
        return orjson.dumps(calls).decode()
    except TypeError:  # nested deeper than orjson writes; no real tool call is
        return None
