"""Which kind of reply an attempt got, from its status, its codes and its words. Pure.

Servers of this shape agree on little but the status, and not always on that: a full proxy says 429 or 503, a wrong key
is 401, 400 or 500. So a reply is judged by three clues, whatever the shape of its JSON: a code or type that says more
than the status, else a phrase of its message, else the status alone.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import orjson

from batchrun.answers.chat import parse_usage, problem_of
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.records import Fault, Reply, Usage

_Rule = tuple[frozenset[int], re.Pattern[str], str]


def _rule(statuses: str, pattern: str, kind: str) -> _Rule:
    return frozenset(int(each) for each in statuses.split()), re.compile(pattern), kind


_CODES: tuple[_Rule, ...] = (
    _rule("429", "insufficient_quota", "quota_exhausted"),
    _rule("400 422 429", "budget_exceeded", "quota_exhausted"),
    _rule("400 422", "model_not_found", "model_not_found"),
    _rule("400 413 422", "context_length_exceeded", "context_length"),
    _rule("400 422", "content_filter|content_policy_violation", "content_filter"),
    _rule("400 422", "(unknown|unsupported|missing_required)_parameter", "bad_request"),
)
"""Codes and types that say more than the status: the whole of one must match. Source: the errors of OpenAI, Azure,
llama.cpp and LiteLLM."""

_PHRASES: tuple[_Rule, ...] = (
    _rule("429", r"personal account|non-personal", "account_unsupported"),
    # Not `billing` alone: OpenAI's rate limit message ends with the address of its billing page.
    _rule("429", r"exceeded your current quota|insufficient_quota|billing details|spending limit", "quota_exhausted"),
    # LiteLLM's own caps, under a status that its operator chooses.
    _rule("400 422 429", r"budget has been exceeded|budget_exceeded|exceeded\w*budget", "quota_exhausted"),
    _rule("429", r"hit [rt]pm limit", "rate_limited"),  # LiteLLM names all limits before the one that was hit
    _rule("429", r"concurren|parallel|in.flight|simultaneous", "throttled"),
    _rule("429", r"per.?(min|sec|hour|day)|\b[rt]p[md]\b|limit type: (requests|tokens)", "rate_limited"),
    _rule("503", r"at capacity.{0,20}in.flight", "throttled"),  # a full LiteLLM worker: its number is the limit
    # The name of a parameter may contain any word of the rules below.
    _rule("400 422", r"\b(unknown|unrecognized|unsupported|unexpected) (parameter|argument|field|key)", "bad_request"),
    _rule(
        "400 422",
        r"invalid model name|passed in model=|provider not provided"
        r"|\bmodel\b.{0,80}\b(not found|does not exist)|pinned to",
        "model_not_found",
    ),
    # LiteLLM's way to say 401.
    _rule("400 500", r"no connected db|no api key passed|^authentication error", "unauthorized"),
    _rule(
        "400 413 422",
        r"\bcontext[ _-]?(length|window)(_?exceeded\w*)?\b|maximum context|prompt is too long|too many tokens",
        "context_length",
    ),
    _rule(
        "400 422",
        r"\bcontent[ _-]?(filter(s|ed|ing)?|management|policy|policies|policy_?violation\w*)\b"
        r"|\b(blocked|filtered|flagged|refused|rejected)\b.{0,60}\bsafety\b(?! identifier)"
        r"|\bsafety (system|filters?|policy|policies|guidelines|reasons?|violation)\b",
        "content_filter",
    ),
)
"""Phrases that decide where code and status do not. Source: ENDPOINT.md, and what real servers were seen to say."""

_BY_STATUS: dict[int, str] = {
    401: "unauthorized",
    402: "quota_exhausted",
    403: "forbidden",
    404: "model_not_found",
    405: "model_not_found",
    407: "forbidden",
    408: "timeout",
    409: "server_error",
    410: "model_not_found",
    413: "too_large",
    414: "too_large",
    424: "server_error",
    425: "overloaded",
    429: "throttled",
    431: "too_large",
    451: "forbidden",
    502: "overloaded",
    503: "overloaded",
    504: "overloaded",
    529: "overloaded",
} | dict.fromkeys(range(520, 528), "overloaded")

_REDIRECTS = frozenset({300, 301, 302, 303, 305, 307, 308})
"""Statuses that send elsewhere. Not 304: no question was asked that it could answer."""

_MESSAGE_CHARS = 500
"""Longest message that is kept of an error: whole error pages help nobody."""


def judge(result: Reply | Fault) -> Verdict:
    """Return what one attempt's result means."""
    if isinstance(result, Fault):
        return Verdict(result.kind, result.message, Usage())
    if result.status == 200:
        return _judge_answer(result)
    return _judge_error(result.status, result.headers, result.body)


def _judge_answer(reply: Reply) -> Verdict:
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return Verdict("bad_reply", f"the answer is not JSON: {_plain_text(reply.body)[:80]!r}", Usage())
    problem = problem_of(answer)
    if problem is None:
        return Verdict(None, "", parse_usage(answer), answer)
    status = _status_inside(answer)
    if status is not None:
        return _judge_error(status, reply.headers, reply.body)
    usage = parse_usage(answer) if isinstance(answer, dict) else Usage()
    return Verdict("bad_reply", _printable(f"the answer is not a chat completion: {problem}"), usage)


def _status_inside(answer: Any) -> int | None:
    """Return the status that an error object under a 200 carries as its code, as some gateways answer."""
    error = answer.get("error") if isinstance(answer, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and len(code) == 3 and code.isdecimal():
        code = int(code)
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _judge_error(status: int, headers: dict[str, str], body: bytes) -> Verdict:
    if status in _REDIRECTS:
        return Verdict("forbidden", _redirected(headers), Usage())
    message, codes = error_text(body)
    kind = (
        _by_code(status, codes.lower().split())
        or _by_phrase(status, f"{message} {codes} limit type: {headers.get('rate_limit_type', '')}".lower())
        or _BY_STATUS.get(status)
        or _by_class(status)
    )
    return Verdict(kind, message or f"HTTP {status}", Usage())


def _by_code(status: int, codes: list[str]) -> str | None:
    for statuses, pattern, kind in _CODES:
        if status in statuses and any(map(pattern.fullmatch, codes)):
            return kind
    return None


def _by_phrase(status: int, text: str) -> str | None:
    for statuses, pattern, kind in _PHRASES:
        if status in statuses and pattern.search(text):
            return kind
    return None


def _by_class(status: int) -> str:
    if status >= 500:
        return "server_error"
    return "bad_request" if status >= 400 else "bad_reply"


def _redirected(headers: dict[str, str]) -> str:
    try:
        host = urlsplit(headers.get("location", "")).hostname
    except ValueError:  # half an IPv6 address
        host = None
    why = "redirects are not followed, since they would carry the key along"
    return f"the endpoint redirects to {host or 'another address'}; {why}"


def error_text(body: bytes) -> tuple[str, str]:
    """Return the message of an error body, and its type and code in one string.

    Reads `{"error": {…}}`, `{"error": "…"}`, `{"detail": …}`, `{"message": "…"}`, plain text and HTML.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _plain_text(body), ""
    if not isinstance(answer, dict):
        return _plain_text(body), ""
    error = answer.get("error", answer)
    if isinstance(error, dict):
        message = next((error[key] for key in ("message", "detail", "error") if error.get(key)), "")
        codes = " ".join(str(code) for key in ("type", "code") if isinstance(code := error.get(key), str | int))
    else:
        message, codes = error or answer.get("message") or "", ""
    return _printable(_as_text(message)), codes[:_MESSAGE_CHARS]


def _as_text(message: Any) -> str:
    if isinstance(message, str):
        return message
    try:
        return orjson.dumps(message).decode()
    except TypeError:  # orjson reads deeper nesting than it writes
        return ""


_TAGS = re.compile(r"<(script|style).*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def _plain_text(body: bytes) -> str:
    """Return the readable beginning of a body that is not JSON; of HTML, its text."""
    text = _TAGS.sub(" ", body[:10_000].decode("utf-8", "replace"))
    return _printable(text)


def _printable(text: str) -> str:
    """Return the beginning of a text in one line, without control characters: terminals would obey them."""
    text = text[: 4 * _MESSAGE_CHARS]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())[:_MESSAGE_CHARS]
