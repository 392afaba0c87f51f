"""Names the kind of an error by its words. Pure.

A phrase chooses only the name of a refusal, its exit code and its cure: `health` finds out whether it is the row's or
the run's, without any words. `kinds` has what comes before and after them: the codes, and the status alone.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple


class Rule(NamedTuple):
    """Under which statuses a pattern decides, and the kind that it names."""

    statuses: frozenset[int]
    pattern: re.Pattern[str]
    kind: str


def rule(kind: str, statuses: str, pattern: str) -> Rule:
    """Return a rule for the statuses of a text, as "400 422"."""
    return Rule(frozenset(int(each) for each in statuses.split()), re.compile(pattern), kind)


SLOTS = re.compile(r"concurren|parallel(?![ _-]?tool)|in.flight|simultaneous|并发")
"""Words of a limit on requests in flight: a slot frees sooner than any clock says."""

PER_TIME = re.compile(r"per.?(min|sec|hour|day)|\b[rt]p[md]\b|limit type: (requests|tokens)|being rate.?limited")

_LIMIT = re.compile(
    r"rate.?limit(ed\b|.?error)|rate.?limit.{0,20}(exceed|reach|hit)|(exceed|reach|hit).{0,20}rate.?limit"
    r"|too many (\w+ )?requests|\b(server|engine|model|service)\b.{0,10}\bbusy\b|server_busy"
    r"|\bthrottl(ed|ing)\b|(at|over) capacity|(queue|slots?).{0,10}\bfull\b|requests in (the )?queue|请求过于频繁|繁忙"
)
"""Words of a limit under a status that does not mean one: GitHub and Google say 403, others 400 or 409."""

AGAIN = re.compile(
    r"(?<!not )(?<!n't )(?<!cannot )\b(try again|try later|retry)\b(?! (with|after|using|when|once)\b)"
    r"|\btemporar(y|ily)\b|\btransient\b|failed_generation"
)
"""Words that promise another attempt another reply."""

SPEND = re.compile(r"\bspend(ing)? (limit|cap)\b")
"""Words of a budget in money: it lasts to the end of the month, also where a 429 says to come again in minutes."""

_PHRASES = (
    rule("account_unsupported", "429", r"personal account|non-personal"),
    # A limit by the minute, whatever the plan that has it: it says "upgrade" too.
    rule("rate_limited", "429", r"\bper.?(min|sec)|\d ?(/|a) ?(min|sec)|\bfor \d+ ?s(ec|\b)"),
    # Not `billing` alone: OpenAI's rate limit message ends with the address of its billing page.
    rule(
        "quota_exhausted",
        "400 402 403 412 422 429",
        r"exceeded your current quota|insufficient.{0,12}\b(quota|balance|funds|credits?)|billing (details|hard limit)"
        r"|credit balance|(out of|no more|not enough) (\w+ )?(credits?|funds|balance)"
        r"|\bcredits? (\w+ ){0,2}(exhausted|depleted)|balance (is )?insufficient|\bkey limit exceeded"
        r"|reached your .{0,40}\busage limits?|account .{0,40}suspended"
        r"|free (tier|allocation)\b.{0,60}\b(exhausted|upgrade|used)|used up your\b"
        r"|\bmonthly (\w+ )?(quota|limit|allowance)|\d .{0,30}(/|per) ?month\b"
        rf"|{SPEND.pattern}|in arrears|balance is (too low|not enough)|account is not active|payment required"
        r"|余额不足|欠费|budget has been exceeded|budget_exceeded|exceeded\w*budget",
    ),
    rule("rate_limited", "429", r"hit [rt]pm limit"),  # LiteLLM names all limits before the one that was hit
    rule("throttled", "429", SLOTS.pattern),
    rule("rate_limited", "429", PER_TIME.pattern),
    rule("throttled", "503", r"at capacity.{0,20}in.flight"),  # a full LiteLLM worker: its number is the limit
    # The name of a parameter may contain any word of the rules below.
    rule(
        "bad_request",
        "400 422",
        r"\b(unknown|unrecognized|unsupported|unexpected|extra) (\w+ )?(parameter|argument|field|key)"
        r"|parameter.{0,40}\b(not supported|unsupported)",
    ),
    # llama.cpp's Python server: what FastAPI finds in the body of a request, which others send as a 422.
    rule("bad_request", "500", r"\bvalidation errors?:.{0,80}'loc': \('body'"),
    rule(
        "model_not_found",
        "400 422",
        r"invalid model|not a valid model|unknown model|passed in model=|provider not provided|pinned to"
        r"|unexpected model name"
        r"|\bmodel\b.{0,80}\b(not found|not exist|decommissioned|no longer|not supported by any)|模型不存在",
    ),
    # LiteLLM's way to say 401, and xAI's and Google's.
    rule(
        "unauthorized",
        "400 403 500",
        r"no connected db|no api key passed|^authentication error|\b(incorrect|invalid) api key"
        r"|api key not (valid|found)|\bapi key\b.{0,30}\b(expired|leaked|revoked)|invalid authorization header",
    ),
    # Google's way to say 403, and Anthropic's.
    rule(
        "forbidden",
        "400",
        r"\blocation is not supported|not available in your (country|region)|\borganization has been disabled",
    ),
    rule(
        "context_length",
        "400 413 422",
        r"\bcontext[ _-]?(length|window|size)(_?exceeded\w*)?\b|maximum (context|prompt|model|input|sequence)\b"
        r"|\b(prompt|inputs?|messages|text|request)\b.{0,20}\btoo long\b|too many (input )?tokens|range of input length"
        r"|inputs.{0,5}tokens.{0,30}must be|tokens?\b.{0,40}\bexceed.{0,30}\bmaximum|exceeds?.{0,30}\btoken limit"
        r"|exceeds? (the )?max\w*\b.{0,15}\blength|\breduce the length\b|(长度|上下文|tokens?).{0,12}(超过|超出|过长)"
        r"|exceeds? (the )?context (limit|length|window|size)|must have (less|fewer) than \d+ tokens|exceeds? max_seq"
        r"|tokens?\b.{0,40}\bexceeds? max\b|tokens? (do|does) not fit|prompt.{0,4}过长",
    ),
    rule(  # Ollama, llama.cpp
        "context_length",
        "500",
        r"\b(input|prompt|request)\b.{0,40}\bexceeds? (the )?(\w+ )?context (length|size|window)"
        r"|^context shift is disabled",
    ),
    # Any other words that name a length of the whole prompt, a bound and two numbers; not those of a parameter.
    rule(
        "context_length",
        "400 413 422",
        r"^(?!.*\b(max_\w*tokens|completion tokens|output tokens)\b)"
        r"(?=.*\b(tokens?|context|n_ctx|sequence|(prompt|input) length)\b)"
        r"(?=.*\b(at most|exceed\w*|(longer|larger|greater|more) than|too (long|large|many)|maximum|limit\w*|window)\b)"
        r"(?=.*\d{3}[^\d\n]+\d{3})",
    ),
    # The same in a 500, where the words must be of the prompt: a server that has too much to do names tokens too.
    rule(
        "context_length",
        "500",
        r"^(?=.*\b(prompt|inputs?|context (length|window|size)|sequence length)\b)(?=.*\btokens?\b)"
        r"(?=.*\b(at most|exceed\w*|(longer|larger|greater|more) than|too (long|large|many)|maximum)\b)"
        r"(?=.*\d{3}[^\d\n]+\d{3})",
    ),
    rule(
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
    rule(
        "bad_request",
        "400 422",
        r"\b(shorten|lower|(decreas|reduc|chang|remov|updat|provid|replac)(e|ing)|(fix|check|correct|adjust)(ing)?|modify(ing)?|verify)\b"
        r".{0,60}\b(try again|retry)\b",
    ),
    rule("bad_draw", "400 422", AGAIN.pattern),
)
"""Phrases that decide whether another attempt may get another answer, where nothing else does."""


def kind_of_words(text: str) -> str | None:
    """Return which limit a text names; None when it names none."""
    if _LIMIT.search(text) is None and SLOTS.search(text) is None:
        return None
    return "rate_limited" if PER_TIME.search(text) and not SLOTS.search(text) else "throttled"


def kind_by_phrase(status: int, text: str) -> str | None:
    """Return the kind that a text in lower case names; None when it names none."""
    return _first(_PHRASES, status, text)


def kind_by_draw(status: int, text: str) -> str | None:
    """Return whether a text in lower case asks to try again, or what to change first; None when it does neither."""
    return _first(_DRAWS, status, text)


def _first(rules: Iterable[Rule], status: int, text: str) -> str | None:
    return next((kind for statuses, pattern, kind in rules if status in statuses and pattern.search(text)), None)


def names_slots(text: str) -> bool:
    """Return whether a text in lower case names a limit on requests in flight."""
    return SLOTS.search(text) is not None
