"""Names the kind of an error by its codes, or by its status alone. Pure.

Servers of this shape agree on little but the status, and not always on that: a full proxy says 429 or 503, a wrong key
is 401, 400 or 500. `phrases` has the words that decide where codes do not.
"""

import re

from batchrun.endpoint.pool.phrases import AGAIN, PER_TIME, SLOTS, SPEND, Rule, kind_of_words, rule

_REFUSALS = frozenset(range(400, 600))
"""Statuses under which a code says more than the status: one-api says 503 where it does not know the model, and 500 for
an account without credit. Nothing is lost if it means an outage after all: canaries must confirm a refusal."""


def _code(kind: str, pattern: str) -> Rule:
    return Rule(_REFUSALS, re.compile(pattern), kind)


_CODES = (
    _code(
        "quota_exhausted",
        r"(insufficient|not_enough)_(user_)?(quota|balance|funds|credits?)|billing_\w+|budget_exceeded"
        r"|exceeded_current_quota_error|allocationquota\.\w+"
        r"|payment_required|credit_balance_too_low|arrearage|1113|1008",
    ),
    rule("bad_draw", "400 422", r"json_validate_failed|tool_use_failed|output_parse_failed"),
    _code(
        "context_length",
        r"\w*(context|prompt|string|input)\w*_(exceeded|limit_reached|too_long|above_max_length)|tokens_limit_reached"
        r"|string_above_max_length|exceed_context_size_error|contextwindowexceedederror|1039|1261",
    ),
    _code(
        "content_filter",
        r"content_(filter|policy_violation)|sensitivecontentdetected\S*|responsibleaipolicyviolation|contentpolicyviolationerror"
        r"|data_inspection_failed|prohibited_content|moderation_blocked|1026|1027|1301",
    ),
    _code("unauthorized", r"(invalid|incorrect)_api_key|api_key_invalid|unauthenticated|1004|2049"),
    _code(
        "model_not_found",
        r"(unknown|invalid|unsupported)_model|model_(not_found|not_exist|not_available|decommissioned)"
        r"|deploymentnotfound|1211",
    ),
    _code("bad_request", r"(unknown|unsupported|missing_required)_parameter"),
)
"""Codes and types that say more than the status: the whole of one must match. Source: the errors of OpenAI, Azure,
Groq, llama.cpp, LiteLLM, Anthropic, Google, DeepSeek, Alibaba, MiniMax (1008, 1026, …) and Zhipu (1113, 1261, …)."""

_RATES = _code("rate_limited", r"tokens|requests|\S*per(minute|hour|day)\S*")
"""Types and quotas of a 429 that count by time. Source: OpenAI and Google."""

_LIMITS = frozenset({403, 409, 423, 424, 498})
"""Statuses under which words of a limit are enough. Under `_LIMITS_IF_AGAIN` the reply must also say to come again."""

_LIMITS_IF_AGAIN = frozenset({400, 422})

_OF_THE_REQUEST = frozenset({*range(400, 408), *range(410, 418), 422, 426, 428, 431, 451})
"""Statuses that are about the request, as HTTP defines them. Under any other 4xx a reply that says to come again is
believed. Source: RFC 9110; Groq's 498 is a full server."""

_QUOTA = re.compile(r"\b(quota|usage|tokens?|resource)\b.{0,20}\b(limit|exceed|exhaust)|exceed\w*.{0,30}\bquota\b")
"""Words of a budget over time in a 429 that says when to come again. "Rate limit exceeded" alone is not among them:
some servers answer so to single requests while they serve the others, and then only the row has to wait."""

_ABOVE = re.compile(r"\blimit:? ?([\d,]+)\b(?:,? used:? ?[\d,]+)?,? requested:? ?([\d,]+)")
"""A limit and what the request asked for, in numbers. Source: OpenAI."""

_SIZE = re.compile(r"tokens?\b|\btpm\b|too (large|long|big)|\b(size|length|bytes|characters)\b")
"""Words of what a single request may be too large for. A number of requests is not among them."""

_BY_STATUS: dict[int, str] = {
    401: "unauthorized",
    402: "quota_exhausted",
    403: "forbidden",
    404: "model_not_found",
    405: "model_not_found",
    407: "forbidden",
    408: "timeout",
    409: "server_error",
    421: "server_error",
    423: "overloaded",
    449: "server_error",
    460: "server_error",
    498: "overloaded",
    499: "server_error",
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


def kind_of_limit(text: str, codes: tuple[str, ...], *, has_advice: bool) -> str | None:
    """Return what a 429 is by what programs can read in it; None when only words are left.

    Args:
        text: its words and codes, in lower case.
        codes: its codes.
        has_advice: whether it says when to come again.
    """
    if SLOTS.search(text):
        return None
    above = _ABOVE.search(text) if _SIZE.search(text) else None
    if above and int(above[2].replace(",", "") or 0) > int(above[1].replace(",", "") or 0):
        return "too_large"  # it never fits
    # Not by `x-ratelimit-remaining: 0`: servers say so of single requests while they serve the others, and a rate
    # holds back all.
    if any(map(_RATES.pattern.fullmatch, codes)):
        return _RATES.kind
    if not has_advice or SPEND.search(text):
        return None
    return "rate_limited" if PER_TIME.search(text) or _QUOTA.search(text) else "throttled"


def kind_of_other_limit(status: int, text: str, *, has_advice: bool) -> str | None:
    """Return what an error without the status of a limit is, if it says in words that it is one."""
    is_again = has_advice or AGAIN.search(text) is not None
    if status in _LIMITS or (status in _LIMITS_IF_AGAIN and is_again):
        return kind_of_words(text)
    is_unknown = 400 <= status < 500 and status not in _OF_THE_REQUEST and status not in _BY_STATUS
    return "overloaded" if is_unknown and is_again else None


def kind_by_code(status: int, codes: tuple[str, ...]) -> str | None:
    """Return the kind that a code names; None when none does."""
    for statuses, pattern, kind in _CODES:
        if status in statuses and any(map(pattern.fullmatch, codes)):
            return kind
    return None


def kind_by_status(status: int) -> str:
    """Return the kind of an error of which only the status is known."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return "server_error"
    return "bad_request" if status >= 400 else "bad_reply"
