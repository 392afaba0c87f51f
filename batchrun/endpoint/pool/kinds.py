"""Names the kind of an error: by its codes, by its words, or by its status alone. Pure.

Servers of this shape agree on little but the status, and not always on that: a full proxy says 429 or 503, a wrong key
is 401, 400 or 500. A phrase chooses only the name of a refusal, its exit code and its cure: `health` finds out whether
it is the row's or the run's, without any words.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

_REFUSALS = frozenset(range(400, 600))
"""Statuses under which a code says more than the status: one-api says 503 where it does not know the model, and 500 for
an account without credit. Nothing is lost if it means an outage after all: canaries must confirm a refusal."""


class _Rule(NamedTuple):
    statuses: frozenset[int]
    pattern: re.Pattern[str]
    kind: str


def _code(kind: str, pattern: str) -> _Rule:
    return _Rule(_REFUSALS, re.compile(pattern), kind)


def _rule(kind: str, statuses: str, pattern: str) -> _Rule:
    return _Rule(frozenset(int(each) for each in statuses.split()), re.compile(pattern), kind)


_CODES = (
    _code(
        "quota_exhausted",
        r"(insufficient|not_enough)_(user_)?(quota|balance|funds|credits?)|billing_\w+|budget_exceeded"
        r"|exceeded_current_quota_error|allocationquota\.\w+"
        r"|payment_required|credit_balance_too_low|arrearage|1113|1008",
    ),
    _rule("bad_draw", "400 422", r"json_validate_failed|tool_use_failed|output_parse_failed"),
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

_SLOTS = re.compile(r"concurren|parallel(?![ _-]?tool)|in.flight|simultaneous|并发")
"""Words of a limit on requests in flight: a slot frees sooner than any clock says."""

_PER_TIME = re.compile(r"per.?(min|sec|hour|day)|\b[rt]p[md]\b|limit type: (requests|tokens)|being rate.?limited")

_LIMIT = re.compile(
    r"rate.?limit(ed\b|.?error)|rate.?limit.{0,20}(exceed|reach|hit)|(exceed|reach|hit).{0,20}rate.?limit"
    r"|too many (\w+ )?requests|\b(server|engine|model|service)\b.{0,10}\bbusy\b|server_busy"
    r"|\bthrottl(ed|ing)\b|(at|over) capacity|(queue|slots?).{0,10}\bfull\b|requests in (the )?queue|请求过于频繁|繁忙"
)
"""Words of a limit under a status that does not mean one: GitHub and Google say 403, others 400 or 409."""

_AGAIN = re.compile(
    r"(?<!not )(?<!n't )(?<!cannot )\b(try again|try later|retry)\b(?! (with|after|using|when|once)\b)"
    r"|\btemporar(y|ily)\b|\btransient\b|failed_generation"
)
"""Words that promise another attempt another reply."""

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

_PHRASES = (
    _rule("account_unsupported", "429", r"personal account|non-personal"),
    # A limit by the minute, whatever the plan that has it: it says "upgrade" too.
    _rule("rate_limited", "429", r"\bper.?(min|sec)|\d ?(/|a) ?(min|sec)|\bfor \d+ ?s(ec|\b)"),
    # Not `billing` alone: OpenAI's rate limit message ends with the address of its billing page.
    _rule(
        "quota_exhausted",
        "400 402 403 412 422 429",
        r"exceeded your current quota|insufficient.{0,12}\b(quota|balance|funds|credits?)|billing (details|hard limit)"
        r"|credit balance|(out of|no more|not enough) (\w+ )?(credits?|funds|balance)|\bcredits? (\w+ ){0,2}exhausted"
        r"|balance (is )?insufficient|reached your .{0,20}\busage limits?|\bkey limit exceeded|account .{0,40}suspended"
        r"|free (tier|allocation)\b.{0,60}\b(exhausted|upgrade|used)|used up your\b"
        r"|\bmonthly (\w+ )?(quota|limit|allowance)|\d .{0,30}(/|per) ?month\b"
        r"|spending (limit|cap)|in arrears|balance is (too low|not enough)|account is not active|payment required"
        r"|余额不足|欠费|budget has been exceeded|budget_exceeded|exceeded\w*budget",
    ),
    _rule("rate_limited", "429", r"hit [rt]pm limit"),  # LiteLLM names all limits before the one that was hit
    _rule("throttled", "429", _SLOTS.pattern),
    _rule("rate_limited", "429", _PER_TIME.pattern),
    _rule("throttled", "503", r"at capacity.{0,20}in.flight"),  # a full LiteLLM worker: its number is the limit
    # The name of a parameter may contain any word of the rules below.
    _rule(
        "bad_request",
        "400 422",
        r"\b(unknown|unrecognized|unsupported|unexpected|extra) (\w+ )?(parameter|argument|field|key)"
        r"|parameter.{0,40}\b(not supported|unsupported)",
    ),
    _rule(
        "model_not_found",
        "400 422",
        r"invalid model|not a valid model|unknown model|passed in model=|provider not provided|pinned to"
        r"|\bmodel\b.{0,80}\b(not found|not exist|decommissioned|no longer|not supported by any)|模型不存在",
    ),
    # LiteLLM's way to say 401, and xAI's and Google's.
    _rule(
        "unauthorized",
        "400 500",
        r"no connected db|no api key passed|^authentication error|\b(incorrect|invalid) api key"
        r"|api key not (valid|found)",
    ),
    _rule(
        "context_length",
        "400 413 422",
        r"\bcontext[ _-]?(length|window|size)(_?exceeded\w*)?\b|maximum (context|prompt|model|input|sequence)\b"
        r"|\b(prompt|inputs?|messages|text|request)\b.{0,20}\btoo long\b|too many (input )?tokens|range of input length"
        r"|inputs.{0,5}tokens.{0,30}must be|tokens?\b.{0,40}\bexceed.{0,30}\bmaximum|exceeds?.{0,30}\btoken limit"
        r"|exceeds? (the )?max\w*\b.{0,15}\blength|\breduce the length\b|(长度|上下文|tokens?).{0,12}(超过|超出|过长)"
        r"|exceeds? (the )?context (limit|length|window|size)|must have (less|fewer) than \d+ tokens|exceeds? max_seq"
        r"|tokens?\b.{0,40}\bexceeds? max\b|tokens? (do|does) not fit|prompt.{0,4}过长",
    ),
    _rule(  # Ollama, llama.cpp
        "context_length",
        "500",
        r"\b(input|prompt|request)\b.{0,40}\bexceeds? (the )?(\w+ )?context (length|size|window)"
        r"|^context shift is disabled",
    ),
    # Any other words that name a length of the whole prompt, a bound and two numbers; not those of a parameter.
    _rule(
        "context_length",
        "400 413 422",
        r"^(?!.*\b(max_\w*tokens|completion tokens|output tokens)\b)"
        r"(?=.*\b(tokens?|context|n_ctx|sequence|(prompt|input) length)\b)"
        r"(?=.*\b(at most|exceed\w*|(longer|larger|greater|more) than|too (long|large|many)|maximum|limit\w*|window)\b)"
        r"(?=.*\d{3}[^\d\n]+\d{3})",
    ),
    _rule(
        "content_filter",
        "400 403 422",
        r"\bcontent[ _-]?(filter(s|ed|ing)?|management|policy|policies|policy_?violation\w*)\b"
        r"|\b(blocked|filtered|flagged|refused|rejected)\b.{0,60}\bsafety\b(?! identifier)"
        r"|\bsafety (system|filters?|policy|policies|guidelines|reasons?|violation)\b"
        r"|\b(input|prompt|content|request|message)\b.{0,20}\bflagged\b|(inappropriate|sensitive|unsafe) content"
        r"|sensitive information|llama.?guard|敏感|不安全|违规|content exists risk|\bguardrails?\b|new_sensitive"
        r"|prohibited_content"
        r"|\bviolat\w+\b.{0,60}\b(policy|policies|terms|guidelines)\b",
    ),
)
"""Phrases that decide where codes do not. Source: what real servers were seen to say."""

_DRAWS = (
    # Who must change something before another attempt gets no other answer.
    _rule(
        "bad_request",
        "400 422",
        r"\b(shorten|lower|(decreas|reduc|chang|remov|updat|provid|replac)(e|ing)|(fix|check|correct|adjust)(ing)?|modify(ing)?)\b"
        r".{0,60}\b(try again|retry)\b",
    ),
    _rule("bad_draw", "400 422", _AGAIN.pattern),
)
"""Phrases that decide whether another attempt may get another answer, where nothing else does."""

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
    if _SLOTS.search(text):
        return None
    above = _ABOVE.search(text) if _SIZE.search(text) else None
    if above and int(above[2].replace(",", "") or 0) > int(above[1].replace(",", "") or 0):
        return "too_large"  # it never fits
    # Not by `x-ratelimit-remaining: 0`: servers say so of single requests while they serve the others, and a rate
    # holds back all.
    if any(map(_RATES.pattern.fullmatch, codes)):
        return _RATES.kind
    if not has_advice:
        return None
    return "rate_limited" if _PER_TIME.search(text) or _QUOTA.search(text) else "throttled"


def kind_of_other_limit(status: int, text: str, *, has_advice: bool) -> str | None:
    """Return what an error without the status of a limit is, if it says in words that it is one."""
    is_again = has_advice or _AGAIN.search(text) is not None
    if status in _LIMITS or (status in _LIMITS_IF_AGAIN and is_again):
        return kind_of_words(text)
    is_unknown = 400 <= status < 500 and status not in _OF_THE_REQUEST and status not in _BY_STATUS
    return "overloaded" if is_unknown and is_again else None


def kind_of_words(text: str) -> str | None:
    """Return which limit a text names; None when it names none."""
    if _LIMIT.search(text) is None and _SLOTS.search(text) is None:
        return None
    return "rate_limited" if _PER_TIME.search(text) and not _SLOTS.search(text) else "throttled"


def kind_by_code(status: int, codes: tuple[str, ...]) -> str | None:
    """Return the kind that a code names; None when none does."""
    for statuses, pattern, kind in _CODES:
        if status in statuses and any(map(pattern.fullmatch, codes)):
            return kind
    return None


def kind_by_phrase(status: int, text: str) -> str | None:
    """Return the kind that a text in lower case names; None when it names none."""
    return _first(_PHRASES, status, text)


def kind_by_draw(status: int, text: str) -> str | None:
    """Return whether a text in lower case asks to try again, or what to change first; None when it does neither."""
    return _first(_DRAWS, status, text)


def _first(rules: Iterable[_Rule], status: int, text: str) -> str | None:
    return next((kind for statuses, pattern, kind in rules if status in statuses and pattern.search(text)), None)


def kind_by_status(status: int) -> str:
    """Return the kind of an error of which only the status is known."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return "server_error"
    return "bad_request" if status >= 400 else "bad_reply"


def names_slots(text: str) -> bool:
    """Return whether a text in lower case names a limit on requests in flight."""
    return _SLOTS.search(text) is not None
