"""How the bytes of an answer are sent: whole or in pieces, complete or cut.

A completion becomes a plan, and `server` only follows the plan: it waits, writes, and cuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import orjson

from batchrun.simulator.answers import pieces, thought_detail
from batchrun.simulator.errors import Problem
from batchrun.simulator.faults import Delivery

_DONE = b"data: [DONE]\n\n"
_DRIPS = 20
_ERROR = Problem(500, "The server had an error while processing your request", "server_error")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write: pieces with a wait between them, and whether to cut the connection after the last."""

    pieces: list[bytes]
    wait_s: float = 0.0
    cut: bool = False
    length: int | None = None  # the Content-Length header; None for chunks


def plan_body(completion: dict[str, Any], delivery: Delivery, *, drip_s: float) -> Plan:
    """Return the plan that sends a completion as one JSON object."""
    if delivery == "error":
        return Plan([orjson.dumps(_ERROR.payload())])
    body = orjson.dumps(completion)
    if delivery == "cut_body":
        return Plan([body[: len(body) // 2]], cut=True, length=len(body))
    if delivery == "no_done":
        return Plan([body[: len(body) // 2]], length=len(body) // 2)
    if delivery == "drip":
        return Plan(_sliced(body), drip_s / _DRIPS, length=len(body))
    return Plan([body], length=len(body))


def plan_stream(events: Iterable[bytes], delivery: Delivery, *, drip_s: float, tokens_per_s: float | None) -> Plan:
    """Return the plan that sends a completion as server-sent events.

    Args:
        events: of the completion.
        delivery: what goes wrong while it is sent.
        drip_s: duration of a drip.
        tokens_per_s: rate of the events, about one token each; None: all at once.
    """
    sent = list(events)
    if delivery in ("cut_body", "no_done", "error"):
        sent = sent[: (len(sent) + 1) // 2]
    if delivery == "error":
        sent.append(event(_ERROR.payload()))
    if delivery not in ("cut_body", "no_done"):
        sent.append(_DONE)
    if delivery == "drip":
        return Plan(_sliced(b"".join(sent)), drip_s / _DRIPS)
    if tokens_per_s is None:
        sent = [b"".join(sent)]
    return Plan(sent, 1 / tokens_per_s if tokens_per_s else 0.0, cut=delivery == "cut_body")


def _sliced(body: bytes) -> list[bytes]:
    """Cut a body anywhere, also inside lines and characters, as TCP does."""
    size = len(body) // _DRIPS + 1
    return [body[start : start + size] for start in range(0, len(body), size)]


def chat_events(completion: dict[str, Any], usage: bool) -> Iterator[bytes]:
    """Yield the events of a chat completion; the last one has the usage if that is wanted."""
    return map(event, _chunks(completion, usage))


def event(data: dict[str, Any], name: str = "") -> bytes:
    """Return a server-sent event."""
    head = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (head, orjson.dumps(data))


def _chunks(completion: dict[str, Any], usage: bool) -> Iterator[dict[str, Any]]:
    head = {key: completion[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    # The choices of one answer are generated at the same time, so their chunks are interleaved.
    for turn in zip_longest(*(list(_deltas(choice)) for choice in completion["choices"])):
        for choice in turn:
            if choice is not None:
                yield head | {"choices": [choice]}
    if usage and "usage" in completion:
        yield head | {"choices": [], "usage": completion["usage"]}


def _deltas(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    message = choice["message"]
    yield _delta(choice, {"role": "assistant"})
    for name in ("reasoning", "reasoning_content"):
        for piece in pieces(message.get(name) or ""):
            yield _delta(choice, {name: piece})
    for detail in message.get("reasoning_details") or ():
        for piece in pieces(detail["text"]):
            yield _delta(choice, {"reasoning_details": [thought_detail(piece)]})
    logprobs = iter((choice["logprobs"] or {}).get("content", ()))
    for piece in pieces(message["content"] or ""):
        logprob = next(logprobs, None)
        yield _delta(choice, {"content": piece}, logprobs={"content": [logprob]} if logprob else None)
    for call in message.get("tool_calls", ()):
        function = call["function"]
        opening = {**call, "index": 0, "function": {"name": function["name"], "arguments": ""}}
        yield _delta(choice, {"tool_calls": [opening]})
        for piece in pieces(function["arguments"]):
            yield _delta(choice, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield _delta(choice, {}, finish_reason=choice["finish_reason"])


def _delta(choice: dict[str, Any], delta: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"index": choice["index"], "delta": delta, "finish_reason": None, "logprobs": None, **rest}
