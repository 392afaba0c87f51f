"""`/v1/responses`: a conversation as items. Source: OpenAI's reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchrun.simulator.answers import complete, pieces
from batchrun.simulator.chat import Chat
from batchrun.simulator.delivery import event
from batchrun.simulator.errors import bad_request
from batchrun.simulator.kinds.kind import Body, Kind

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reason → why a response is incomplete."""

_TEXTS = ("input_text", "output_text")


def _as_chat(body: Body) -> Body:
    asked = body.get("input")
    if not asked:
        raise bad_request("Missing required parameter: 'input'.", param="input")
    for name in ("messages", "max_tokens", "response_format", "stream_options"):
        if name in body:
            raise bad_request(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    messages = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    items = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    if not isinstance(items, list):
        raise bad_request("Invalid type for 'input': expected a string or an array of items.", param="input")
    messages += [_message(item, place) for place, item in enumerate(items)]
    chat = body | {"messages": messages}
    if "max_output_tokens" in body:
        chat["max_tokens"] = body["max_output_tokens"]
    if isinstance(wanted := (body.get("text") or {}).get("format"), dict):
        named = {name: value for name, value in wanted.items() if name != "type"}
        chat["response_format"] = {"type": wanted.get("type"), "json_schema": named}
    if body.get("tools"):
        chat["tools"] = [_nested(tool) for tool in body["tools"]]
    if "tool_choice" in body:
        chat["tool_choice"] = _nested(body["tool_choice"])
    return chat | {"logprobs": any("logprobs" in each for each in body.get("include") or ())}


def _nested(value: Any) -> Any:
    if not isinstance(value, dict) or value.get("type") != "function":
        return value
    return {"type": "function", "function": {name: each for name, each in value.items() if name != "type"}}


def _message(item: Any, place: int) -> Body:
    where = f"input[{place}]"
    if not isinstance(item, dict):
        raise bad_request(f"Invalid type for '{where}': expected an object.", param=where)
    if item.get("type") == "function_call_output":
        return {"role": "tool", "content": item.get("output")}
    if item.get("type") == "function_call":
        return {"role": "assistant", "content": item.get("arguments")}
    content = item.get("content")
    if isinstance(content, list):
        content = [_part(part, f"{where}.content[{index}]") for index, part in enumerate(content)]
    return {"role": item.get("role"), "content": content}


def _part(part: Any, where: str) -> Body:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _TEXTS:
        return {"type": "text", "text": part.get("text")}
    if kind == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    if kind == "input_file":
        return {"type": "file", "file": {name: value for name, value in part.items() if name != "type"}}
    raise bad_request(f"Invalid value: {kind!r}.", param=where, code="invalid_value")


def _shown(completion: Body, chat: Chat) -> Body:
    its_id = completion["id"].replace("chatcmpl-", "resp_")
    usage = {"usage": _usage(completion["usage"])} if "usage" in completion else {}
    head = {"id": its_id, "object": "response", "created_at": completion["created"], "model": completion["model"]}
    settings = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": chat.body.get("tools") or []}
    choice = next(iter(completion["choices"]), None)
    reason = _REASONS.get("" if choice is None else choice["finish_reason"])
    ended = {
        "status": "completed" if reason is None else "incomplete",
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": [] if choice is None else list(_output(choice, its_id)),
    }
    return head | settings | ended | usage


def _output(choice: Body, its_id: str) -> Iterator[Body]:
    message = choice["message"]
    if message.get("reasoning"):
        summary = [{"type": "summary_text", "text": message["reasoning"]}]
        yield {"type": "reasoning", "id": its_id.replace("resp", "rs"), "summary": summary}
    if message["content"] is not None:
        logprobs = (choice["logprobs"] or {}).get("content", [])
        part = {"type": "output_text", "text": message["content"], "annotations": [], "logprobs": logprobs}
        shown = {"type": "message", "id": its_id.replace("resp", "msg"), "status": "completed", "role": "assistant"}
        yield shown | {"content": [part]}
    for call in message.get("tool_calls", ()):
        function = call["function"]
        head = {"type": "function_call", "id": f"fc_{call['id']}", "call_id": call["id"], "status": "completed"}
        yield head | {"name": function["name"], "arguments": function["arguments"]}


def _usage(usage: Body) -> Body:
    reasoning = usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": usage["prompt_tokens_details"],
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": usage["total_tokens"],
    }


def _events(completion: Body, chat: Chat) -> Iterator[bytes]:
    shown = _shown(completion, chat)
    begun = shown | {"status": "in_progress", "output": [], "incomplete_details": None}
    begun.pop("usage", None)
    number = 0

    def made(name: str, **data: Any) -> bytes:
        nonlocal number
        number += 1
        return event({"type": name, "sequence_number": number - 1} | data, name)

    yield made("response.created", response=begun)
    for index, item in enumerate(shown["output"]):
        yield made("response.output_item.added", output_index=index, item=item | {"status": "in_progress"})
        for part_index, part in enumerate(item.get("content") or ()):
            place = {"item_id": item["id"], "output_index": index, "content_index": part_index}
            for text in pieces(part["text"]):
                yield made("response.output_text.delta", **place, delta=text, logprobs=[])
            yield made("response.output_text.done", **place, text=part["text"], logprobs=part["logprobs"])
        yield made("response.output_item.done", output_index=index, item=item)
    yield made(f"response.{shown['status']}", response=shown)


KIND = Kind(_as_chat, complete, _shown, _events)
