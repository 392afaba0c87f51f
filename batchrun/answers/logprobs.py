"""The log probabilities of an answer's tokens, as a typed column.

OpenAI and vLLM send `content`, a list of tokens with their alternatives; older servers send the three lists of the
completions API, of which the alternatives are objects.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from batchrun.answers.chat import problem_of
from batchrun.answers.envelope import read_reply
from batchrun.answers.kinds.responses import as_chat

_TOKEN = [("token", pa.string()), ("logprob", pa.float64())]

LOGPROBS = pa.list_(pa.struct([*_TOKEN, ("top_logprobs", pa.list_(pa.struct(_TOKEN)))]))
"""The type of the column: the answer's tokens in their order, each with its alternatives if they were asked for."""

_SENT = re.compile(rb'"logprobs"\s*:\s*(\{|\[\s*\{)')

_Token = dict[str, Any]


def has_logprobs(bodies: Iterable[bytes | None]) -> bool:
    """Return whether one of these raw answers has log probabilities."""
    return any(body is not None and _SENT.search(body) for body in bodies)


def logprobs_array(bodies: Sequence[bytes | None]) -> pa.Array:
    """Return the column's values for raw answers: null where there is no answer, or where it has none. Never raises."""
    return pa.array([None if body is None else _tokens(body) for body in bodies], LOGPROBS)


def _tokens(body: bytes) -> list[_Token] | None:
    if b'"logprobs"' not in body:
        return None
    try:
        reply = read_reply(body)
    except ValueError:
        return None
    if isinstance(reply, dict) and isinstance(reply.get("output"), list):
        reply = as_chat(reply)
    found = None if problem_of(reply) else reply["choices"][0].get("logprobs")
    if not isinstance(found, dict):
        return None
    if isinstance(content := found.get("content"), list):
        return [_token(each, each.get("top_logprobs")) for each in content if isinstance(each, dict)]
    if not isinstance(found.get("tokens"), list):
        return None
    lists = [found.get(name) for name in ("tokens", "token_logprobs", "top_logprobs")]
    each_one = zip_longest(*(each if isinstance(each, list) else () for each in lists))
    return [_token({"token": token, "logprob": logprob}, _alternatives(top)) for token, logprob, top in each_one]


def _alternatives(top: Any) -> list[_Token] | None:
    if not isinstance(top, dict):
        return None
    return [{"token": token, "logprob": logprob} for token, logprob in top.items()]


def _token(entry: _Token, top: Any) -> _Token:
    others = [_bare(each) for each in top if isinstance(each, dict)] if isinstance(top, list) else None
    return {**_bare(entry), "top_logprobs": others or None}


def _bare(entry: _Token) -> _Token:
    token, logprob = entry.get("token"), entry.get("logprob")
    is_number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return {
        "token": token.encode("utf-8", "replace").decode() if isinstance(token, str) else None,
        "logprob": float(logprob) if is_number else None,  # type: ignore[arg-type]  # a number, as was just tested
    }
