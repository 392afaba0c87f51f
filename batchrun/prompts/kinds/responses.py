"""Requests of `/responses`: a conversation as items, with the parameters under their names there. Pure.

Rows bring the same messages as for chat completions. Source: OpenAI's reference and its guide to the migration.
"""

from collections.abc import Iterator
from typing import Any

from batchrun.prompts.kinds.chat import SETTINGS
from batchrun.prompts.kinds.shape import CANARY, Asked, Parameters, Shape
from batchrun.prompts.values import RowProblem, kind_of

_LOGPROBS = "message.output_text.logprobs"
_LEAST_TOKENS = 16
"""The least that OpenAI takes for `max_output_tokens`."""


def _input(column: str, value: Any) -> Any:
    """Accept a text or a list of items."""
    is_list = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    if isinstance(value, str) or is_list:
        return value
    raise RowProblem(f"{column} is {kind_of(value)}; must be a string, or a list of items, not empty")


def _converted(body: Parameters) -> Parameters:
    """Return the body of a prompt with its messages as items; a first message of the system becomes `instructions`."""
    messages = body["messages"]
    others = {name: value for name, value in body.items() if name != "messages"}
    first = messages[0]
    if first["role"] in ("system", "developer") and isinstance(first.get("content"), str) and len(messages) > 1:
        messages = messages[1:]
        others = {"instructions": first["content"]} | others
    return {"input": [item for message in messages for item in _items_of(message)]} | others


def _items_of(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the items that say what a message says."""
    role, content = message["role"], message.get("content")
    if role == "tool":
        yield {"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": _text_of(content)}
        return
    if content:
        shown = content if isinstance(content, str) else [_part(part, role) for part in content]
        yield {"role": role, "content": shown}
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield {
            "type": "function_call",
            "call_id": call.get("id"),
            "name": function.get("name"),
            "arguments": function.get("arguments"),
        }


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _part(part: Any, role: str) -> dict[str, Any]:
    """Return a part of a message as a part of an item; raises `RowProblem` for what responses do not take."""
    kind = part.get("type") if isinstance(part, dict) else None
    held = part.get(kind) if kind else None
    if kind == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": held}
    if kind == "image_url" and isinstance(held, dict):
        detail = {"detail": held["detail"]} if "detail" in held else {}
        return {"type": "input_image", "image_url": held.get("url")} | detail
    if kind == "file" and isinstance(held, dict):
        return {"type": "input_file"} | held
    if kind in ("input_text", "output_text", "input_image", "input_file", "refusal"):
        return dict(part)
    raise RowProblem(f"has a part of the type {kind}, which requests of the kind responses do not take")


def _translated(parameters: Parameters) -> Parameters:
    """Return parameters under the names of this kind; those that have them already stay as they are."""
    found: Parameters = {}
    for name, value in parameters.items():
        if name in ("max_tokens", "max_completion_tokens"):
            found["max_output_tokens"] = value
        elif name == "logprobs":
            found |= {"include": [*parameters.get("include", ()), _LOGPROBS]} if value else {}
        elif name == "response_format":
            found["text"] = (parameters.get("text") or {}) | {"format": _flat(value, "json_schema")}
        elif name == "reasoning_effort":
            found["reasoning"] = (parameters.get("reasoning") or {}) | {"effort": value}
        elif name == "tools" and isinstance(value, list | tuple):
            found[name] = [_flat(each, "function") for each in value]
        elif name == "tool_choice":
            found[name] = _flat(value, "function")
        else:
            found.setdefault(name, value)
    return found


def _flat(value: Any, inner: str) -> Any:
    """Return an object with what chat completions nest under the name of its type next to it."""
    if not isinstance(value, dict) or not isinstance(value.get(inner), dict):
        return value
    return {name: each for name, each in value.items() if name != inner} | value[inner]


SHAPE = Shape(
    asked=(Asked("input", _input),),
    settings=SETTINGS - {"seed", "stop"},
    canary={"input": CANARY, "max_output_tokens": _LEAST_TOKENS},
    has_messages=True,
    stream=b',"stream":true',
    converted=_converted,
    translated=_translated,
)
