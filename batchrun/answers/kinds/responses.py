"""The answers of `/responses`: a list of items instead of a message. Pure.

They are read as the chat completions that say the same, so that both have the same parts in the results.
Source: OpenAI's reference, "The response object".
"""

from collections.abc import Iterator
from typing import Any

from batchrun.answers.chat import NOTHING, Completion, completion_of, error_text
from batchrun.answers.kinds.shape import Parsed, Shape
from batchrun.answers.usage import parse_usage
from batchrun.records import Usage

_ENDED = ("completed", "incomplete", None)
"""Statuses of an answer that has come to its end; some servers leave it out."""

_REASONS = {"max_output_tokens": "length"}
"""Why an answer is incomplete → the finish reason of chat completions that means the same."""


def _is_like(reply: Parsed) -> bool:
    return isinstance(reply.get("output"), list) and ("status" in reply or reply.get("object") == "response")


def _problem_of(reply: Any) -> str | None:
    if not isinstance(reply, dict):
        return "the answer is not a JSON object"
    if (error := error_text(reply)) is not None:
        return error
    if not isinstance(reply.get("output"), list):
        return "the answer has no output"
    status = reply.get("status")
    if status not in _ENDED:
        return f"the answer broke off: status {status}"
    return None if reply["output"] or status == "incomplete" else "the answer has an empty output"


def as_chat(reply: Parsed) -> dict[str, Any]:
    """Return the chat completion that says the same as a response."""
    message: dict[str, Any] = {"content": None}
    parts = list(_parts_of(reply, "message"))
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    if texts:
        message["content"] = "".join(texts)
    refusals = [part["refusal"] for part in parts if isinstance(part.get("refusal"), str)]
    if refusals:
        message["refusal"] = "".join(refusals)
    if thoughts := [each for each in map(_thought_of, _items_of(reply, "reasoning")) if each]:
        message["reasoning"] = "\n\n".join(thoughts)
    calls = [_call_of(item) for item in _items_of(reply, "function_call")]
    if calls:
        message["tool_calls"] = calls
    choice: dict[str, Any] = {"message": message, "finish_reason": _finish_of(reply, has_calls=bool(calls))}
    logprobs = [each for part in parts if isinstance(part.get("logprobs"), list) for each in part["logprobs"]]
    if logprobs:
        choice["logprobs"] = {"content": logprobs}
    return {"id": reply.get("id"), "choices": [choice]}


def _finish_of(reply: Parsed, *, has_calls: bool) -> Any:
    details = reply.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if reply.get("status") == "incomplete":
        return _REASONS.get(reason, reason) if isinstance(reason, str) else "length"
    return "tool_calls" if has_calls else "stop"


def _items_of(reply: Parsed, kind: str) -> Iterator[dict[str, Any]]:
    return (item for item in reply["output"] if isinstance(item, dict) and item.get("type") == kind)


def _parts_of(reply: Parsed, kind: str) -> Iterator[dict[str, Any]]:
    for item in _items_of(reply, kind):
        content = item.get("content")
        yield from (part for part in content if isinstance(part, dict)) if isinstance(content, list) else ()


def _thought_of(item: Parsed) -> str:
    """Return the reasoning of an item: in full where an open model gives it, else its summary."""
    for name in ("content", "summary"):
        parts = item.get(name)
        texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        if found := "\n\n".join(text for text in texts if isinstance(text, str) and text):
            return found
    return ""


def _call_of(item: Parsed) -> dict[str, Any]:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item.get("call_id") or item.get("id"), "type": "function", "function": function}


def _completion_of(reply: Parsed) -> Completion:
    return NOTHING if _problem_of(reply) else completion_of(as_chat(reply))


def _usage_of(reply: Parsed) -> Usage:
    return parse_usage(as_chat(reply) | {"usage": reply.get("usage")})


SHAPE = Shape("a response", _is_like, _problem_of, _completion_of, usage_of=_usage_of)
