"""What an attempt's reply means for the row, for the limit and for the run. One table, pure.

Servers of this shape agree on little but the status, and not always on that: a full proxy says 429 or 503, a wrong key
is 401, 400 or 500. So a reply is classified by its status and by what its text says, whatever the shape of its JSON.
The first rule that matches decides; what no rule knows falls to its status class.
"""

import re
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import orjson

from batchrun.answers.chat import parse_usage, problem_of
from batchrun.records import Fault, Reply, Usage

RowEffect = Literal["again", "again, free", "failed", "stays open"]
LimitEffect = Literal["down", "stays", "growth stops", "–"]


class Effect(NamedTuple):
    """One row of the verdict table."""

    when: str
    row: RowEffect
    """`again` spends an attempt if the endpoint worked for others meanwhile; `again, free` never does."""
    limit: LimitEffect
    run: str
    exit_code: int | None = None
    """Of the run, when the verdict ends it."""
    cure: str = ""
    """What to do about it, when the verdict ends the run."""


_GOES_ON = "goes on"
_PAUSES = "goes on; pauses and probes when nothing works"
_STOPS = "drains and stops, exit {}"

EFFECTS: dict[str, Effect] = {
    "throttled": Effect(
        "429 for concurrency, or of unknown cause; 503 that counts what is in flight", "again, free", "down", _GOES_ON
    ),
    "rate_limited": Effect("429 that names requests or tokens per minute", "again, free", "stays", "waits as told"),
    "overloaded": Effect("503, 529, 502, 504, 425, 520–527", "again", "growth stops", _PAUSES),
    "server_error": Effect("500 and other 5xx, 409", "again", "growth stops", _PAUSES),
    "timeout": Effect("silence, 408", "again", "growth stops", _PAUSES),
    "connection": Effect("refused, reset, cut, DNS, TLS", "again", "growth stops", _PAUSES),
    "bad_reply": Effect("a 200 that is no chat completion", "again", "growth stops", _PAUSES),
    "bad_request": Effect("400, 422 and other 4xx", "failed", "–", _GOES_ON),
    "context_length": Effect("400 that says the prompt is too long", "failed", "–", _GOES_ON),
    "content_filter": Effect("400 that says the content is refused", "failed", "–", _GOES_ON),
    "too_large": Effect("413, 414, 431; an answer over 64 MiB", "failed", "–", _GOES_ON),
    "invalid_response": Effect("an answer that does not fit the schema, too often", "failed", "–", _GOES_ON),
    "unauthorized": Effect(
        "401",
        "stays open",
        "–",
        _STOPS.format(4),
        4,
        "check the key and the team/project (--project); then run the same command again",
    ),
    "forbidden": Effect(
        "403, 407, 451, a redirect",
        "stays open",
        "–",
        _STOPS.format(4),
        4,
        "check that inference is enabled for your organization and served in your region, and the base URL",
    ),
    "account_unsupported": Effect(
        "429 for personal accounts",
        "stays open",
        "–",
        _STOPS.format(4),
        4,
        "use a key and a project of a team: --project TEAM/PROJECT",
    ),
    "model_not_found": Effect(
        "404, 405, 410; 400 that says the model is unknown",
        "stays open",
        "–",
        _STOPS.format(4),
        4,
        "`batchrun models` lists what the endpoint serves; check the base URL too",
    ),
    "quota_exhausted": Effect(
        "402, 429 for quota; 400, 422 for a proxy's budget",
        "stays open",
        "–",
        _STOPS.format(5),
        5,
        "add credits or raise the cap of your plan; then run the same command again: it goes on from here",
    ),
}
"""Kind → what becomes of the row, the limit and the run. The table in docs/failures.md is generated from it."""

ROW_KINDS = {
    "bad_row": "the input row is broken, or makes no request; never sent",
}
"""Kinds of failure that no reply has."""


class Verdict(NamedTuple):
    """How one attempt is judged."""

    kind: str | None
    """None: a completion."""
    message: str
    usage: Usage


_Rule = tuple[frozenset[int], re.Pattern[str], str]


def _rule(statuses: str, pattern: str, kind: str) -> _Rule:
    return frozenset(int(each) for each in statuses.split()), re.compile(pattern), kind


_RULES: tuple[_Rule, ...] = (
    _rule("429", r"personal account|non-personal", "account_unsupported"),
    # Not `billing` alone: OpenAI's rate limit message ends with the address of its billing page.
    _rule("429", r"exceeded your current quota|insufficient_quota|billing details|spending limit", "quota_exhausted"),
    # LiteLLM's own caps; the status is a setting of its.
    _rule("400 422 429", r"budget has been exceeded|budget_exceeded|exceeded\w*budget", "quota_exhausted"),
    _rule("429", r"hit [rt]pm limit", "rate_limited"),  # LiteLLM names all limits before it says which
    _rule("429", r"concurren|parallel|in.flight|simultaneous", "throttled"),
    _rule("429", r"per.?(min|sec|hour|day)|\b[rt]p[md]\b|limit type: (requests|tokens)", "rate_limited"),
    _rule("503", r"at capacity.{0,20}in.flight", "throttled"),  # a full worker of LiteLLM's: its number is the limit
    _rule(
        "400 422",
        r"invalid model name|passed in model=|provider not provided|model.{0,80}(not found|does not exist)|pinned to",
        "model_not_found",
    ),
    _rule(
        "400 500", r"no connected db|no api key passed|^authentication error", "unauthorized"
    ),  # LiteLLM's way to say 401
    _rule(
        "400 413 422", r"context.?(length|window)|maximum context|prompt is too long|too many tokens", "context_length"
    ),
    _rule("400 422", r"content.?(filter|policy|management)|safety", "content_filter"),
)
"""Which words decide where the status alone does not. Source: ENDPOINT.md, and what real servers were seen to say."""

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
"""Statuses that send elsewhere. Not 304: it is an answer, though to no question that was asked."""

_MESSAGE_CHARS = 500
"""Longest message that is kept of an error; whole error pages help nobody."""


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
        return Verdict(None, "", parse_usage(answer))
    status = _status_inside(answer)
    if status is not None:
        return _judge_error(status, reply.headers, reply.body)
    usage = parse_usage(answer) if isinstance(answer, dict) else Usage()
    return Verdict("bad_reply", _printable(f"the answer is no chat completion: {problem}"), usage)


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
    message, clue = error_text(body)
    clue = f"{message} {clue} limit type: {headers.get('rate_limit_type', '')}".lower()
    for statuses, pattern, kind in _RULES:
        if status in statuses and pattern.search(clue):
            return Verdict(kind, message, Usage())
    return Verdict(_BY_STATUS.get(status, _by_class(status)), message or f"HTTP {status}", Usage())


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
    """Return the message of an error body, and its other clues (type, code) in one string.

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
        said = next((error[key] for key in ("message", "detail", "error") if error.get(key)), "")
        clues = " ".join(str(clue) for key in ("type", "code") if isinstance(clue := error.get(key), str | int))
    else:
        said, clues = error or answer.get("message") or "", ""
    return _printable(_as_text(said)), clues[:_MESSAGE_CHARS]


def _as_text(said: Any) -> str:
    if isinstance(said, str):
        return said
    try:
        return orjson.dumps(said).decode()
    except TypeError:  # orjson reads deeper nesting than it writes
        return ""


_TAGS = re.compile(r"<(script|style).*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def _plain_text(body: bytes) -> str:
    """Return the readable beginning of a body that is no JSON; of HTML, its text."""
    text = _TAGS.sub(" ", body[:10_000].decode("utf-8", "replace"))
    return _printable(text)


def _printable(text: str) -> str:
    """Return the beginning of a text in one line, without what would steer the terminal it is shown on."""
    text = text[: 4 * _MESSAGE_CHARS]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())[:_MESSAGE_CHARS]
