"""Which kind of reply an attempt got: by its codes, then its words, then its status. Pure.

A code that says more than the status decides first. Then advice: a server that says when to come again has a limit, not
an empty account. Then phrases, then the status alone: `kinds` has the tables.
"""

from functools import lru_cache
from urllib.parse import urlsplit

from batchrun.answers.chat import is_withheld, status_of
from batchrun.answers.envelope import read_reply
from batchrun.answers.kinds.table import SHAPES
from batchrun.answers.plain import is_ordinary
from batchrun.answers.raw_json import json_text
from batchrun.answers.usage import parse_usage, usage_in
from batchrun.endpoint.pool.inner_status import MOST_CHARS, passing_in_words, passing_status, stated_status
from batchrun.endpoint.pool.kinds import kind_by_code, kind_by_status, kind_of_limit, kind_of_other_limit
from batchrun.endpoint.pool.phrases import kind_by_draw, kind_by_phrase, kind_of_words, names_slots
from batchrun.endpoint.pool.reason import Reason, plain_text, printable, read_reason
from batchrun.endpoint.pool.retry import advice_s
from batchrun.endpoint.pool.verdicts import NO_REASON, Verdict
from batchrun.records import PATHS, Fault, Reply, RequestKind, Usage

_BUSY = frozenset({429, 503})

_BAD_DRAWS = frozenset({400, 422})
"""Statuses that are final, unless the server says when to come again."""

_REDIRECTS = frozenset({300, 301, 302, 303, 305, 307, 308})
"""Statuses that send elsewhere. Not 304: no question was asked that it could answer."""

_FAILED_BEHIND = frozenset({502, 504})
"""Codes that a reply of status 200 carries when the server behind the gateway has failed: the request was let in."""


_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of answers."""


def judge(
    result: Reply | Fault, kind: RequestKind = "chat", sent: bytes = b"", *, needs_answer: bool = True
) -> Verdict:
    """Return what one attempt's result means for a request of this kind.

    Args:
        result: of the attempt.
        kind: of the request.
        sent: its body.
        needs_answer: whether the verdict on a completion must have the parsed body.
    """
    if isinstance(result, Fault):
        return Verdict(result.kind, result.message, Usage())
    if result.usage is not None:  # an ordinary completion
        answer = read_reply(result.body) if needs_answer else None
        return _new(Verdict, (None, "", result.usage, answer, NO_REASON, False, None))
    if 200 <= result.status < 300:
        return _judge_answer(result, kind, sent)
    return _judge_error(result.status, result.headers, result.body, sent)._replace(usage=usage_in(result.body))


def _judge_answer(reply: Reply, asked: RequestKind, sent: bytes) -> Verdict:
    try:
        answer = read_reply(reply.body)
    except ValueError:
        return _not_json(reply.body)
    if asked == "chat" and is_ordinary(answer):
        return _new(Verdict, (None, "", parse_usage(answer), answer, NO_REASON, False, None))
    shape = SHAPES[asked]
    problem = shape.problem_of(answer)
    if problem is None and (error := shape.broken_in(answer)) is None:
        return Verdict(None, "", shape.usage_of(answer), answer)
    usage = parse_usage(answer) if isinstance(answer, dict) else Usage()  # paid for, whatever it is worth
    if problem is None:
        body = (json_text({"error": error}) or "").encode()
        return _judge_error(_begun(status_of(error) or 500), reply.headers, body, sent)._replace(usage=usage)
    reason = read_reason(reply.body, sent)
    status = status_of(answer.get("error")) if isinstance(answer, dict) else None
    if status is None and not is_withheld(answer) and kind_by_code(400, reason.codes) is None:
        status = stated_status(reason.codes, reason.text)
    if status is not None:
        is_begun = status in _FAILED_BEHIND or (isinstance(answer, dict) and bool(answer.get("choices")))
        status = _begun(status) if is_begun else status
        return _judge_error(status, reply.headers, reply.body, sent)._replace(usage=usage)
    if is_withheld(answer):
        message = f"the content filter withheld the answer (finish_reason {answer['choices'][0]['finish_reason']})"
        return Verdict("content_filter", printable(message), usage, reason=Reason(message))
    stated = f": {reason.message}" if reason.message and reason.message not in problem else ""
    message = printable(f"the answer is not {shape.name}: {problem}{stated}")
    kind = kind_by_code(400, reason.codes)
    if kind is None and len(reason.text) <= MOST_CHARS:
        kind = kind_of_words(reason.text)
    kind = kind or kind_by_phrase(400, reason.text) or kind_by_draw(400, reason.text) or "bad_reply"
    return Verdict(kind, message, usage, reason=reason)


def _begun(status: int) -> int:
    """Return the status that the error in an answer counts as: a 503 in it does not say that it was turned away."""
    return min(status, 500)


def _not_json(body: bytes) -> Verdict:
    text = plain_text(body)
    if not text:
        return Verdict("bad_reply", "the answer is empty", Usage(), reason=Reason())
    what = f"a web page, not an answer of an API: {text[:80]!r}" if _is_page(body) else f"not JSON: {text[:80]!r}"
    return Verdict("bad_reply", f"the answer is {what}", Usage(), reason=Reason(text))


def _is_page(body: bytes) -> bool:
    return body[:1000].lstrip()[:1] == b"<"


def _judge_error(status: int, headers: dict[str, str], body: bytes, sent: bytes) -> Verdict:
    if status in _REDIRECTS:
        message = _redirected(headers)
        return Verdict("forbidden", message, Usage(), reason=Reason(message))
    reason = read_reason(body, sent)
    has_advice = reason.advice_s is not None or advice_s(headers, 0.0) is not None
    return _verdict(
        status, reason, headers.get("rate_limit_type", "").lower(), has_advice=has_advice, is_page=_is_page(body)
    )


@lru_cache(maxsize=64)  # most errors come again and again, and their words are looked through 20 times
def _verdict(status: int, reason: Reason, limit_type: str, *, has_advice: bool, is_page: bool) -> Verdict:
    text = f"{reason.text}\n{' '.join(reason.codes)} limit type: {limit_type}"
    kind = kind_by_code(status, reason.codes)
    if kind is None:
        status = passing_status(status, reason.codes)
    if kind is None and status == 429:
        kind = kind_of_limit(text, reason.codes, has_advice=has_advice)
    kind = kind or kind_of_other_limit(status, text, has_advice=has_advice) or kind_by_phrase(status, text)
    if kind is None and not is_page:
        status = passing_in_words(status, text)
    kind = kind or kind_by_draw(status, text)
    if kind is None and status in _BAD_DRAWS and has_advice:
        kind = "bad_draw"
    kind = kind or kind_by_status(status)
    is_slot = (status in _BUSY or kind == "throttled") and names_slots(text)
    return Verdict(kind, reason.message or f"HTTP {status}", Usage(), reason=reason, is_slot=is_slot)


def _redirected(headers: dict[str, str]) -> str:
    """Return where a redirect leads; of another host no more than its name, unless it looks like the same API."""
    try:
        to = urlsplit(headers.get("location", ""))
        host, port = to.hostname, to.port
    except ValueError:  # half an IPv6 address
        to, host, port = urlsplit(""), None, None
    if host is None:
        return printable(f"the endpoint redirects to {to.path or 'another address'}; redirects are not followed")
    message = f"the endpoint redirects to {host}; redirects are not followed, since they would carry the key along"
    path = to.path.rstrip("/")
    ending = next((each for each in PATHS.values() if path.endswith(each)), "")
    if ending:
        path = path.removesuffix(ending)
        place = f"{to.scheme or 'https'}://{host}" + (f":{port}" if port else "")
        message += f"; if that is the same API, its base URL is {place}{path}"
    return printable(message)
