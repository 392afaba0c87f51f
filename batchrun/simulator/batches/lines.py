"""The answer to one line of a batch: as the same request gets it alone, in the form of an output file. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from batchrun.simulator.chat import Chat, parse_chat
from batchrun.simulator.errors import Problem, RejectedError
from batchrun.simulator.faults import Shares
from batchrun.simulator.gate import Fates, check_model
from batchrun.simulator.kinds.kind import Kind
from batchrun.simulator.settings import Settings

_FAILED = Problem(500, "The server had an error while processing your request.", "server_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What answers lines: the parts of the server that requests which come alone have too."""

    settings: Callable[[], Settings]
    shares: Callable[[], Shares]
    fates: Fates
    cached: Callable[[Chat], int]
    """Returns how many tokens of a prompt are cached, and caches it."""
    bill: Callable[[str, dict[str, Any]], None]
    """Books an answer."""


def answer_line(
    model: Model, kind: Kind, custom_id: str, raw: bytes, now_s: float
) -> tuple[bytes, dict[str, Any] | None]:
    """Return the line of the output file and its usage; of a refused request, that of the error file and None."""
    try:
        body, usage = _answered(model, kind, raw, now_s)
        status = 200
    except RejectedError as error:
        status, body, usage = error.problem.status, error.problem.payload(), None
    response = {"status_code": status, "request_id": uuid4().hex, "body": body}
    return line_of(custom_id, response, None), usage


def line_of(custom_id: str, response: dict[str, Any] | None, error: dict[str, str] | None) -> bytes:
    """Return a line of an output file or an error file."""
    return orjson.dumps(
        {"id": f"batch_req_{uuid4().hex}", "custom_id": custom_id, "response": response, "error": error}
    )


def expired_line(custom_id: str) -> bytes:
    """Return the line of a request that was not answered in time. Source: OpenAI's guide."""
    message = "This request could not be executed before the completion window expired."
    return line_of(custom_id, None, {"code": "batch_expired", "message": message})


def _answered(model: Model, kind: Kind, raw: bytes, now_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = model.settings()
    chat = parse_chat(raw, image_tokens=settings.image_tokens, as_chat=kind.as_chat)
    check_model(chat, settings)
    order = model.fates.order(chat, model.shares(), settings.seed)
    fault = None if order is None else order.fault
    if fault is not None and fault.problem:
        raise RejectedError(fault.problem, fault=fault.name)
    if fault is not None and (fault.canned or fault.delivery in ("cut", "silence")):
        raise RejectedError(_FAILED, fault=fault.name)  # what would break a connection fails behind a batch
    completion = kind.complete(chat, settings, cached_tokens=0, number=int(now_s * 1e6), now_s=now_s)
    usage = dict(completion["usage"])
    completion["usage"]["prompt_tokens_details"]["cached_tokens"] = model.cached(chat)
    model.bill(chat.key, usage)
    if fault is not None and fault.edit:
        fault.edit(completion)
    return kind.shown(completion, chat), usage
