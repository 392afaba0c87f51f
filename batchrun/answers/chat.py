"""Reads chat completions: whether a reply is one, its text, reasoning, tool calls and refusal. Pure.

A reply is parsed once into a dict; `problem_of`, `broken_choice` and `completion_of` read this dict. Servers agree on
its outline and on little else, so every value is checked, and a value of a wrong type counts as absent. Content is
never absent: what is not a text is read as its JSON. `problem_of` and `broken_choice` run once per answer while the
pool is busy, so they are kept fast.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from batchrun.answers.raw_json import json_text

ENDS = ("stop", "length", "tool_calls", "content_filter", "function_call", None)
"""The finish reasons of OpenAI."""

_BROKEN = re.compile(r"error|abort|cancel|fail|insufficient|unavailable|overload|interrupt|malformed", re.IGNORECASE)
"""Finish reasons of an answer that broke off: OpenRouter's `error`, vLLM's `abort`, DeepSeek's
`insufficient_system_resource`, Zhipu's `network_error`, Google's `MALFORMED_FUNCTION_CALL`."""

_WITHHELD = re.compile(r"filter|safety|sensitive|prohibited|blocklist|recitation|spii", re.IGNORECASE)
"""Finish reasons of an answer that the server's filter withheld: OpenAI's, Zhipu's and Google's."""

_TEXT_PARTS = ("text", "output_text")
"""Types of content parts that are the answer's text."""

_THINK, _THOUGHT = "<think>", "</think>"
"""The tags that open models write around their reasoning, if no parser of the server removes it."""

EITHER_TAG = "think>"
"""What both tags have in common."""

_QUOTES, _JSON = ("`", '"', "'"), ("{", "[")
"""What stands before the closing tag in an answer that writes about it, and what a JSON answer starts with."""


class Completion(NamedTuple):
    """The parts of an answer that the results show."""

    response: str | None = None
    """The text; None when the model only called tools."""
    reasoning: str | None = None
    tool_calls: str | None = None
    """JSON: the list as the server sent it."""
    finish_reason: str | None = None
    response_id: str | None = None
    refusal: str | None = None
    """The model's words when it refuses; then there is usually no text."""
    invalid_response: str | None = None
    """The text of an answer that cannot be used; then `response` is None."""
    data: Any = None
    """What an answer of another kind holds that is not a text: see `kinds`."""

    @property
    def is_empty(self) -> bool:
        """Whether the model gave nothing: no text, no tool call, no refusal."""
        return not (self.response and self.response.strip()) and self.tool_calls is None and self.refusal is None

    @property
    def is_withheld(self) -> bool:
        """Whether the server's content filter ended the answer."""
        return self.finish_reason is not None and _WITHHELD.search(self.finish_reason) is not None


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
    if (error := reply.get("error")) and is_error(error) and (status_of(error) or not _says_all(reply)):
        return _error_text(error)
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        return "the answer has no choices"
    for choice in choices:
        if choice.__class__ is not dict:
            return "the answer has a choice without a message"
        if choice.get("message").__class__ is not dict:
            if _message_in(choice) is None:
                return "the answer has a choice without a message"
            if "delta" in choice and not choice.get("finish_reason"):
                return "the answer is a piece of a stream"
    return None


def is_whole(reply: Mapping[str, Any]) -> bool:
    """Return whether the first choice of a reply has a message and has come to its end."""
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or _message_in(choice) is None:
        return False
    return bool(choice.get("finish_reason")) and broken_choice(reply) is None


def _says_all(reply: Mapping[str, Any]) -> bool:
    """Return whether an answer is whole and not empty: then an `error` next to it that names no failure is none."""
    return is_whole(reply) and not completion_of(reply).is_empty


def status_of(error: Any) -> int | None:
    """Return the status of a failure that an error object carries as its code, as some gateways answer."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and len(code) == 3 and code.isdecimal():
        code = int(code)
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def is_error(error: Any) -> bool:
    """Return whether the value of a field `error` reports one: an object whose values are all empty does not."""
    return any(error.values()) if isinstance(error, dict) else bool(error)


def broken_choice(reply: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the error inside the first choice of an answer; None when the answer is whole.

    Gateways that pass a stream on have sent status 200 before the provider behind them fails.
    """
    choice = reply["choices"][0]
    finish_reason, message = choice.get("finish_reason"), choice.get("message")
    has_error = "error" in choice or (message.__class__ is dict and "error" in message)
    if not has_error and finish_reason in ENDS:
        return None
    error = choice.get("error")
    if not is_error(error) and message.__class__ is dict and not text_of(message.get("content")):
        error = message.get("error")
    if is_error(error):
        return error if isinstance(error, dict) else {"message": error}
    if isinstance(finish_reason, str) and _BROKEN.search(finish_reason):
        return {"message": f"the answer broke off: finish_reason {finish_reason}"}
    return None


def is_withheld(reply: Any) -> bool:
    """Return whether a reply without a message was withheld by the server's content filter."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    finish_reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    return isinstance(finish_reason, str) and _WITHHELD.search(finish_reason) is not None


def _message_in(choice: dict[str, Any]) -> dict[str, Any] | None:
    """Return the message of a choice; of the older completions, and of a stream's pieces, what stands in its place."""
    for name in ("message", "delta", "text"):
        value = choice.get(name)
        if isinstance(value, dict):
            return value
        if isinstance(value, str):
            return {"content": value}
    return None


def error_text(reply: Mapping[str, Any]) -> str | None:
    """Return what a reply says that is an error and not an answer; None when it has no error."""
    error = reply.get("error")
    return _error_text(error) if is_error(error) else None


def _error_text(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return f"the answer is an error: {message if isinstance(message, str) else 'it gives no reason'}"


def completion_of(reply: Mapping[str, Any]) -> Completion:
    """Return the shown parts of a parsed answer in which `problem_of` finds no problem."""
    choice = reply["choices"][0]
    message = choice.get("message")
    if message.__class__ is not dict:
        message = _message_in(choice) or {}
    finish_reason = choice.get("finish_reason")
    content = message.get("content")
    response = content if content.__class__ is str else text_of(content)
    reasoning = message.get("reasoning") or message.get("reasoning_content") or None
    if reasoning.__class__ is not str and (reasoning or content.__class__ is list or "reasoning_details" in message):
        reasoning = _text(message.get("reasoning_content")) or thought_of(content)
        if reasoning is None and (details := message.get("reasoning_details")):
            reasoning = _detailed_thought(details)
    if reasoning is None and response and EITHER_TAG in response and _has_thought(response):
        response, reasoning = _split_thought(response, finish_reason)
    calls = _tool_calls(message) if message.get("tool_calls") or message.get("function_call") else None
    refusal = message.get("refusal")
    if refusal is not None or content.__class__ is list:
        refusal = _text(refusal) or _joined(content, "refusal")
    response_id = reply.get("id")
    if finish_reason.__class__ is not str or response_id.__class__ is not str:
        finish_reason, response_id = _text(finish_reason), _text(response_id)
    return _new(Completion, (response, reasoning, calls, finish_reason, response_id, refusal, None, None))


def text_of(content: Any) -> str | None:
    """Return the text of a message's content; None when there is no text.

    Of a list, the text parts. Anything else is JSON that the server has parsed already, so it is written again.
    """
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        return _joined(content, *_TEXT_PARTS)
    if isinstance(content, dict) and isinstance(text := content.get("text"), str):
        return text
    return json_text(content)


def thought_of(content: Any) -> str | None:
    """Return the reasoning in the parts of a content, as Mistral and Databricks send it; None when there is none."""
    if not isinstance(content, list):
        return None
    thoughts = []
    for part in content:
        if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
            inner = part.get("thinking") or part.get("summary") or part.get("text")
            thoughts.append(inner if isinstance(inner, str) else _joined(inner, *_TEXT_PARTS, "summary_text"))
    return "".join(filter(None, thoughts)) or None


def _joined(parts: Any, *kinds: str) -> str | None:
    """Return the texts of the parts of these types; a part without a type is a text."""
    if not isinstance(parts, list):
        return None
    those = [part for part in parts if isinstance(part, dict) and part.get("type", "text") in kinds]
    texts = [part.get("refusal" if part.get("type") == "refusal" else "text") for part in those]
    found = [text for text in texts if isinstance(text, str)]
    return "".join(found) if found else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _has_thought(content: str) -> bool:
    return _THOUGHT in content or content.lstrip().startswith(_THINK)


def _split_thought(content: str, finish_reason: str | None) -> tuple[str, str | None]:
    """Return response and reasoning of a text that has one of the tags.

    A text starts with `<think>`, or it has only `</think>`: many chat templates end the prompt with the first tag.
    """
    thought, closed, response = content.partition(_THOUGHT)
    is_opened = thought.lstrip().startswith(_THINK)
    if not is_opened and (_THINK in thought or thought.endswith(_QUOTES) or thought.lstrip().startswith(_JSON)):
        return content, None  # the tag is part of the answer
    if not closed and finish_reason != "length":
        return content, None  # not cut off: the tag is part of the answer
    # Models leave an empty thought when reasoning is switched off.
    return response.lstrip(), thought.lstrip().removeprefix(_THINK).strip() or None


def _detailed_thought(details: Any) -> str | None:
    """Return the reasoning in OpenRouter's list of details; None when there is none that can be read.

    Pieces of one block have the same `index`, also when they come from a stream. Encrypted ones have no text.
    """
    blocks: list[list[str]] = []
    last: Any = None
    for detail in details if isinstance(details, list) else ():
        text = (detail.get("text") or detail.get("summary")) if isinstance(detail, dict) else None
        if isinstance(text, str):
            if not blocks or detail.get("index") != last:
                blocks.append([])
            last = detail.get("index")
            blocks[-1].append(text)
    return "\n\n".join("".join(block) for block in blocks) or None


def _tool_calls(message: Mapping[str, Any]) -> str | None:
    calls = message.get("tool_calls")
    if not calls and isinstance(function := message.get("function_call"), dict):
        calls = {"type": "function", "function": function}  # older servers: one call, without id
    if isinstance(calls, dict):
        calls = [calls]
    return json_text(calls) if calls and isinstance(calls, list) else None
