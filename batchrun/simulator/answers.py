"""The simulated model: a request becomes a completion, always the same one for the same request.

An answer depends only on the simulator's seed, the model, the messages, the `seed` in the body and the index of the
choice: the same request gets the same answer again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

import orjson

from batchrun.simulator.chat import Chat, count_tokens
from batchrun.simulator.errors import bad_request
from batchrun.simulator.merge import UnsatisfiableError
from batchrun.simulator.schema import satisfy
from batchrun.simulator.sentences import LABELS, sentence, sentences, thought
from batchrun.simulator.settings import Settings

_PIECE = re.compile(r".{1,4}", re.DOTALL)


@dataclass(slots=True)
class _Draft:
    """One choice before it becomes a message: the full text, not yet cut by stop sequences or limits."""

    text: str
    reasoning: str
    tool: str | None
    finish_reason: str
    content_tokens: int = 0
    reasoning_tokens: int = 0


def pieces(text: str) -> list[str]:
    """Return the tokens of a text."""
    return _PIECE.findall(text)


def complete(chat: Chat, settings: Settings, *, cached_tokens: int, number: int, now_s: float) -> dict[str, Any]:
    """Return the completion object that answers a request.

    Args:
        chat: the request.
        settings: the seed, lengths and reasoning.
        cached_tokens: tokens of the prompt that were in the prefix cache.
        number: makes the completion's id unique.
        now_s: wall clock time.

    Raises:
        RejectedError: with a 400, when the request's schema cannot be satisfied.
    """
    prompt = orjson.dumps(chat.body["messages"])
    drafts = [_draft(chat, settings, prompt, index) for index in range(chat.body.get("n") or 1)]
    return {
        "id": f"chatcmpl-{number:016x}",
        "object": "chat.completion",
        "created": int(now_s),
        "model": chat.model,
        "choices": [_choice(draft, chat, settings, index) for index, draft in enumerate(drafts)],
        "usage": _usage(drafts, chat.prompt_tokens, cached_tokens),
    }


def _usage(drafts: list[_Draft], prompt_tokens: int, cached_tokens: int) -> dict[str, Any]:
    reasoning_tokens = sum(draft.reasoning_tokens for draft in drafts)
    completion_tokens = reasoning_tokens + sum(draft.content_tokens for draft in drafts)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }
    if reasoning_tokens:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning_tokens}
    return usage


def _draft(chat: Chat, settings: Settings, prompt: bytes, index: int) -> _Draft:
    source = b"%d\0%d\0%s\0%s\0%s" % (
        settings.seed,
        index,
        str(chat.body.get("seed")).encode(),
        chat.model.encode(),
        prompt,
    )
    random = Random(blake2b(source, digest_size=8).digest())  # noqa: S311 - not for secrets
    reasoning = sentences(random, settings.answer_tokens, thought) if _reasons(chat, settings) else ""
    tool = _forced_tool(chat.body)
    if tool is not None:
        name, parameters = tool
        draft = _Draft(_json(parameters, random), reasoning, name, "tool_calls")
    else:
        draft = _Draft(_text(chat.body, settings, random), reasoning, None, "stop")
    _shorten(draft, chat, settings)
    return draft


def _shorten(draft: _Draft, chat: Chat, settings: Settings) -> None:
    """Cut a draft at the first stop sequence and at the token limit, and count the tokens that remain."""
    for stop in chat.stops if draft.tool is None else ():
        draft.text = draft.text.partition(stop)[0]
    budget = settings.context_tokens - chat.prompt_tokens
    budget = max(1, min(budget, chat.max_tokens or budget))
    draft.reasoning_tokens = count_tokens(draft.reasoning) if draft.reasoning else 0
    draft.content_tokens = count_tokens(draft.text)
    if draft.reasoning_tokens + draft.content_tokens <= budget:
        return
    draft.finish_reason = "length"
    draft.reasoning_tokens = min(draft.reasoning_tokens, budget)
    draft.reasoning = draft.reasoning[: draft.reasoning_tokens * 4]
    draft.content_tokens = budget - draft.reasoning_tokens
    draft.text = draft.text[: draft.content_tokens * 4]


def _choice(draft: _Draft, chat: Chat, settings: Settings, index: int) -> dict[str, Any]:
    content: str | None = draft.text
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if draft.tool is not None:
        function = {"name": draft.tool, "arguments": draft.text}
        message["content"] = None
        message["tool_calls"] = [{"id": f"call_{index:08x}", "type": "function", "function": function}]
    elif not draft.content_tokens:
        message["content"] = None
    if draft.reasoning:
        _think(message, draft, settings.reasoning_field)
    choice = {"index": index, "message": message, "finish_reason": draft.finish_reason, "logprobs": None}
    if chat.body.get("logprobs"):
        choice["logprobs"] = _logprobs(draft.text, chat.body.get("top_logprobs") or 0)
    return choice


def _think(message: dict[str, Any], draft: _Draft, where: str) -> None:
    if where == "reasoning_details":
        message[where] = [thought_detail(draft.reasoning)]
    elif where in ("reasoning", "reasoning_content"):
        message[where] = draft.reasoning
    else:
        opening = "<think>\n" if where == "think" else ""
        closing = f"\n</think>\n\n{message['content'] or ''}" if draft.content_tokens else ""
        message["content"] = f"{opening}{draft.reasoning}{closing}"


def thought_detail(text: str) -> dict[str, Any]:
    """Return reasoning as an entry of `reasoning_details`. Source: OpenRouter's guide to reasoning tokens."""
    return {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}


def _reasons(chat: Chat, settings: Settings) -> bool:
    asked = (chat.body.get("chat_template_kwargs") or {}).get("enable_thinking")
    if asked is not None:
        return bool(asked)
    model = chat.model.lower()
    return any(part.lower() in model for part in settings.reasoning_models)


def _forced_tool(body: dict[str, Any]) -> tuple[str, Any] | None:
    """Return name and parameters of the tool that the answer must call; with `auto` the model answers with text."""
    choice = body.get("tool_choice")
    if choice is None or choice in ("auto", "none"):
        return None
    named = choice.get("function") if isinstance(choice, dict) else None
    wanted = named.get("name") if isinstance(named, dict) else None
    for tool in body.get("tools") or []:
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and (choice == "required" or function.get("name") == wanted):
            return str(function.get("name")), function.get("parameters") or {"type": "object"}
    raise bad_request(f"Invalid value for 'tool_choice': no tool is named {wanted!r}.", param="tool_choice")


def _text(body: dict[str, Any], settings: Settings, random: Random) -> str:
    response_format = body.get("response_format") or {}
    match response_format.get("type", "text"):
        case "text":
            return sentences(random, settings.answer_tokens, sentence)
        case "json_object":
            label = random.choice(LABELS)
            return orjson.dumps({"label": label, "reason": sentence(random, label)}).decode()
        case "json_schema":
            named = response_format.get("json_schema")
            if isinstance(named, dict) and isinstance(named.get("schema"), dict | bool):
                return _json(named["schema"], random)
            message = "Missing required parameter: 'response_format.json_schema.schema'."
            raise bad_request(message, param="response_format.json_schema.schema")
        case kind:
            message = f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'."
            raise bad_request(message, param="response_format.type")


def _json(schema: Any, random: Random) -> str:
    try:
        return orjson.dumps(satisfy(schema, random)).decode()
    except (UnsatisfiableError, orjson.JSONEncodeError) as error:  # orjson writes only 64-bit integers
        raise bad_request(f"Invalid schema for response_format: {error}", param="response_format") from error


def _logprobs(text: str, top: int) -> dict[str, Any]:
    return {"content": [_logprob(piece, top) for piece in pieces(text)]}


def _logprob(piece: str, top: int) -> dict[str, Any]:
    here: dict[str, Any] = {"token": piece, "logprob": -0.125, "bytes": list(piece.encode())}
    others = [{"token": f"alt{rank}", "logprob": -3.0 - rank, "bytes": None} for rank in range(1, top)]
    return {**here, "top_logprobs": [here, *others] if top else []}
