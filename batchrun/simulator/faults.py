"""The table of all faults that the simulator can make, and which requests get them.

A share of all requests (`--error 503=0.05`) or a marker in a prompt (see `markers`) asks for a fault.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from batchrun.simulator.errors import Problem, status_title

Completion = dict[str, Any]
Delivery = Literal["whole", "cut", "silence", "drip", "cut_body", "no_done", "error"]

QUOTA = "You exceeded your current quota, please check your plan and billing details"
PERSONAL = (
    "W&B Inference isn't available for personal accounts. "
    "Please switch to a non-personal account to access W&B Inference"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; exactly one of `problem`, `canned`, `edit`, `delivery` and `wait_s` is set."""

    name: str
    doc: str
    problem: Problem | None = None  # an error reply
    canned: tuple[int, bytes, str] | None = None  # any other reply instead of the model's: status, body, type
    edit: Callable[[Completion], None] | None = None  # changes the model's answer
    spoils: bool = False  # whether the answer is billed but useless to the client
    delivery: Delivery = "whole"  # how the answer is sent
    wait_s: float | None = None  # seconds until the answer, unless the marker has its own
    retry_after: str | None = None  # header of this fault, unless a setting overrides it


def _error(
    name: str, status: int, message: str, kind: str, *, code: str | None = None, retry_after: str | None = None
) -> Fault:
    problem = Problem(status, message, kind, code=code)
    return Fault(name, f"{status}: {message}", problem=problem, retry_after=retry_after)


def _gateway(status: int, name: str = "") -> Fault:
    doc = f"{status}: a gateway's HTML page, {status_title(status)}"
    return Fault(name or str(status), doc, problem=Problem(status, "", shape="html"))


def _no_usage(completion: Completion) -> None:
    del completion["usage"]


def _empty_choices(completion: Completion) -> None:
    for name in ("choices", "data", "results"):  # what answers of each kind have in their place
        if name in completion:
            completion[name] = []


def _each_choice(change: Callable[[Completion], None]) -> Callable[[Completion], None]:
    def edit(completion: Completion) -> None:
        for choice in completion.get("choices", ()):
            change(choice)

    return edit


def _null_content(choice: Completion) -> None:
    choice["message"]["content"] = None


def _filtered(choice: Completion) -> None:
    choice["finish_reason"] = "content_filter"
    choice["message"]["content"] = ""


def _off_schema(choice: Completion) -> None:
    message = choice["message"]
    if "tool_calls" in message:
        message["tool_calls"][0]["function"]["arguments"] = '{"unasked": '
    else:
        message["content"] = 'Sure! Here it is: {"unasked": '


_HTML = b"<!doctype html>\n<html><head><title>Please wait</title></head><body>Checking your browser.</body></html>\n"

_ERRORS = (
    _error("400", 400, "Invalid request", "invalid_request_error", code="invalid_value"),
    _error(
        "content_filter",
        400,
        "The response was filtered due to the prompt triggering the content management policy",
        "invalid_request_error",
        code="content_filter",
    ),
    _error(
        "context_length",
        400,
        "This model's maximum context length is 131072 tokens. However, your messages resulted in 131073 tokens. "
        "Please reduce the length of the messages.",
        "invalid_request_error",
        code="context_length_exceeded",
    ),
    _error("401", 401, "Authentication failed", "authentication_error", code="invalid_api_key"),
    _error("401_old", 401, "Invalid Authentication", "authentication_error", code="invalid_api_key"),
    _error("402", 402, QUOTA, "insufficient_quota", code="insufficient_quota"),
    _error(
        "403",
        403,
        "Country, region, or territory not supported",
        "request_forbidden",
        code="unsupported_country_region_territory",
    ),
    _error("403_gateway", 403, "inference gateway is not enabled for your organization", "request_forbidden"),
    _error("404", 404, "model not found", "invalid_request_error", code="model_not_found"),
    _error("408", 408, "Request timeout", "timeout_error"),
    _error("409", 409, "Conflict", "invalid_request_error"),
    _error("413", 413, "Request entity too large", "invalid_request_error", code="request_too_large"),
    _error("422", 422, "Unprocessable entity", "invalid_request_error"),
    _error("425", 425, "Too early", "invalid_request_error"),
    _error("429", 429, "Concurrency limit reached for requests", "rate_limit_error", code="rate_limit_exceeded"),
    _error("429_quota", 429, QUOTA, "insufficient_quota", code="insufficient_quota"),
    _error("429_personal", 429, PERSONAL, "rate_limit_error"),
    _error(
        "429_rpm",
        429,
        "Rate limit reached for requests on requests per min (RPM): Limit 60, Used 60, Requested 1. "
        "Please try again in 1s.",
        "requests",
        code="rate_limit_exceeded",
    ),
    _error(
        "429_tpm",
        429,
        "Rate limit reached for tokens on tokens per min (TPM): Limit 60000, Used 60000, Requested 1000. "
        "Please try again in 1s.",
        "tokens",
        code="rate_limit_exceeded",
    ),
    _error(
        "429_parallel",
        429,
        "litellm.RateLimitError: Deployment has all max_parallel_requests slots in use.",
        "throttling_error",
        code="429",
        retry_after="60",
    ),
    _error("429_unknown", 429, "Too Many Requests", "too_many_requests"),
    _error("500", 500, "The server had an error while processing your request", "server_error"),
    _error("503", 503, "The engine is currently overloaded, please try again later", "overloaded_error"),
    _error(
        "503_capacity",
        503,
        "Worker at capacity: 5 in-flight, 1 queued requests. Retry later.",
        "overloaded_error",
        code="503",
        retry_after="1",
    ),
    _error("529", 529, "Overloaded", "overloaded_error"),
    _gateway(502),
    _gateway(503, "503_html"),
    _gateway(504),
    *(_gateway(status) for status in range(520, 529)),
)

_MISBEHAVIOURS = (
    Fault("cut", "the connection closes before the first byte of the reply", delivery="cut"),
    Fault("cut_body", "the connection closes in the middle of the answer or stream", delivery="cut_body"),
    Fault(
        "no_done",
        "the answer ends early without an error: half of its JSON, or a stream without [DONE]",
        delivery="no_done",
        spoils=True,
    ),
    Fault("silence", "no reply; the request is in flight until the client disconnects", delivery="silence"),
    Fault("slow", "the answer comes after SECONDS", wait_s=5.0),
    Fault("drip", "the answer comes in small pieces over SECONDS", delivery="drip", wait_s=2.0),
    Fault("redirect", "302 to another path", canned=(302, b"", "text/plain")),
    Fault("html", "200: an HTML page", canned=(200, _HTML, "text/html")),
    Fault(
        "not_json", "200: content type JSON, but not valid JSON", canned=(200, b'{"id": "chatcmpl-', "application/json")
    ),
    Fault("not_object", "200: JSON, but not an object", canned=(200, b'["OK"]', "application/json")),
    Fault(
        "error_200",
        "200: an error object instead of the answer, or as an event in the stream",
        delivery="error",
        spoils=True,
    ),
    Fault("no_usage", "200: without usage", edit=_no_usage),
    Fault("empty_choices", "200: choices is an empty list", edit=_empty_choices, spoils=True),
    Fault("null_content", "200: content is null", edit=_each_choice(_null_content), spoils=True),
    Fault("filtered", "200: finish_reason content_filter, no content", edit=_each_choice(_filtered)),
    Fault("off_schema", "200: text instead of the requested JSON", edit=_each_choice(_off_schema), spoils=True),
)

FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in (*_ERRORS, *_MISBEHAVIOURS)}


def find(name: str) -> Fault:
    """Return the fault with this name.

    Raises:
        ValueError: there is none; the message names the most similar one.
    """
    try:
        return FAULTS[name]
    except KeyError:
        near = "".join(f"; the nearest is {near}" for near in difflib.get_close_matches(name, FAULTS, 1))
        raise ValueError(f"no fault is named {name!r}{near}") from None


class Shares:
    """The faults that a share of all requests gets; each has its own part of [0, 1)."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        self._faults = [find(name) for name in shares]
        self._ends = list(accumulate(shares.values()))

    def __bool__(self) -> bool:
        return bool(self._faults)

    def pick(self, uniform: float) -> Fault | None:
        """Return the fault whose part contains the number, None if no part does.

        Args:
            uniform: a number in [0, 1).
        """
        place = bisect_right(self._ends, uniform)
        return self._faults[place] if place < len(self._faults) else None
