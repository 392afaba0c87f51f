"""Reads the token counts of a reply, wherever its server puts them, and checks them against their total. Pure.

Servers disagree on whether reasoning and cached tokens are part of the other counts or stand next to them. Their total
decides: what it holds more than prompt and completion was billed too. So `completion_tokens` and `prompt_tokens` are
everything that was billed as output and as input, and a cap that counts them is not passed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from batchrun.answers.chat import completion_of, problem_of
from batchrun.answers.raw_json import loads
from batchrun.records import Usage

MOST_TOKENS = 2**31 - 1
"""More than any context window holds; sums over four billion answers still fit the int64 of the results."""

_DIGITS = len(str(MOST_TOKENS))

_NO_USAGE = Usage()

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of answers."""

_PLAIN = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
)
"""The fields of OpenAI. A usage that has no others needs no search."""

_PROMPT = ("prompt_tokens", "input_tokens", "prompt_token_count", "promptTokenCount")
_COMPLETION = ("completion_tokens", "output_tokens", "candidates_token_count", "candidatesTokenCount")
_TOTAL = ("total_tokens", "total_token_count", "totalTokenCount")
"""Names of the counts: OpenAI's and vLLM's, then those of Anthropic and Google."""

_NAME_CHARS = 64
"""Longest name of a count; longer names are not remembered either."""


def _named_like(words: str) -> Callable[[str], bool]:
    """Return what tells whether a name matches: a search takes ten times as long as remembering it."""
    search = re.compile(words, re.IGNORECASE).search
    return lru_cache(maxsize=256)(lambda name: search(name) is not None)


_is_cached = _named_like(r"cached|cache_?(hit|read)")
"""`cached_tokens`, DeepSeek's `prompt_cache_hit_tokens`, Anthropic's `cache_read_input_tokens`, Google's
`cachedContentTokenCount`; not `prompt_cache_miss_tokens`, nor `cache_creation_input_tokens`."""

_is_cache_written = _named_like(r"cache_?(creation|write)")
"""Anthropic's `cache_creation_input_tokens`."""

_is_reasoning = _named_like(r"reasoning|thought|thinking")


def parse_usage(reply: Mapping[str, Any]) -> Usage:
    """Return the token counts of a reply; None for a count that is absent, negative or not an integer.

    No answer has a prompt or a text of 0 tokens: servers that do not count say so, and state nothing. Runs once per
    answer while the pool is busy, so the usual form of usage is read first.
    """
    usage = reply.get("usage")
    if usage.__class__ is dict and usage.keys() <= _PLAIN:
        get = usage.get
        prompt, completion, total = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
        if (
            prompt.__class__ is completion.__class__ is total.__class__ is int
            and prompt > 0 < completion
            and prompt + completion == total <= MOST_TOKENS
        ):
            cached, reasoning = get("prompt_tokens_details"), get("completion_tokens_details")
            cached = None if cached is None else _count_in(cached, "cached_tokens")
            reasoning = None if reasoning is None else _count_in(reasoning, "reasoning_tokens")
            if prompt >= (cached or 0) and completion >= (reasoning or 0):
                return _new(Usage, (prompt, completion, total, cached, reasoning))
    found = max(map(_counted, _places(reply)), key=_size, default=_NO_USAGE)
    return _without_zeros(found) if 0 in found[:2] and _has_answer(reply) else found


def usage_in(body: bytes) -> Usage:
    """Return the token counts of a raw reply of any kind; an error may have been billed too."""
    if b"tokens" not in body:
        return _NO_USAGE
    try:
        reply = loads(body)
    except ValueError:
        return _NO_USAGE
    return parse_usage(reply) if isinstance(reply, dict) else _NO_USAGE


def larger_usage(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """Return the usage of a stream that states it more than once.

    Servers count up, so the last is the total; but some state the prompt first and only the completion last.
    """
    if before is None:
        return after
    kept = {name: value for name, value in before.items() if _is_larger(value, after.get(name))}
    return {**after, **kept} if kept else after


def _is_larger(before: Any, after: Any) -> bool:
    if after is None:
        return before is not None
    return isinstance(before, int) and isinstance(after, int) and before > after


def _has_answer(reply: Mapping[str, Any]) -> bool:
    if problem_of(reply) is not None:
        return False
    completion = completion_of(reply)
    return not completion.is_empty or bool(completion.reasoning)


def _without_zeros(usage: Usage) -> Usage:
    prompt, completion, _, cached, reasoning = usage
    return Usage(prompt or None, completion or None, None, cached or None, reasoning or None)


def _places(reply: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each usage of a reply: usually one at the top; Groq's streams and Moonshot's have it elsewhere."""
    choices = reply.get("choices")
    inner = [reply.get("x_groq"), *(choices if isinstance(choices, list) else ())]
    found = [reply.get("usage"), reply.get("usage_metadata"), reply.get("usageMetadata")]
    found += [each.get("usage") for each in inner if isinstance(each, dict)]
    return (each for each in found if isinstance(each, dict))


def _size(usage: Usage) -> int:
    """Return how much a usage states: of several, the largest counts, because a cap must not be passed."""
    return max((usage.prompt_tokens or 0) + (usage.completion_tokens or 0), usage.total_tokens or 0)


def _counted(usage: dict[str, Any]) -> Usage:
    prompt, completion, total = (_named(usage, names) for names in (_PROMPT, _COMPLETION, _TOTAL))
    cached, reasoning = _matching(usage, _is_cached), _matching(usage, _is_reasoning)
    if prompt is not None and completion is not None:
        in_cache = (cached or 0) + (_matching(usage, _is_cache_written) or 0)
        prompt, completion = _reconciled(prompt, completion, total, in_cache, reasoning or 0)
    elif prompt is not None and total is not None and total >= prompt:
        completion = max(total - prompt, reasoning or 0)
    return Usage(prompt, completion, total, cached, reasoning)


def _reconciled(prompt: int, completion: int, total: int | None, in_cache: int, reasoning: int) -> tuple[int, int]:
    """Return prompt and completion with what stands next to them."""
    missing = 0 if total is None else total - prompt - completion
    if missing > 0 and missing == in_cache != reasoning:
        return prompt + missing, completion
    if missing > 0:
        return prompt, completion + missing
    if total is None and in_cache > prompt:
        prompt += in_cache
    if reasoning > completion:
        completion += reasoning
    return min(prompt, MOST_TOKENS), min(completion, MOST_TOKENS)


def _named(usage: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := _count(usage.get(name))) is not None), None)


def _matching(usage: dict[str, Any], is_named: Callable[[str], bool]) -> int | None:
    """Return the largest count under a name that matches, in the usage or in one of its details."""
    largest = None
    for where in (usage, *(each for each in usage.values() if each.__class__ is dict)):
        for name, value in where.items():
            if len(name) <= _NAME_CHARS and is_named(name) and (count := _count(value)) is not None:
                largest = count if largest is None else max(largest, count)
    return largest


def _count_in(details: Any, name: str) -> int | None:
    return _count(details.get(name)) if details.__class__ is dict else None


def _count(value: Any) -> int | None:
    is_number = value.__class__ is str and value.isdecimal() and len(value) <= _DIGITS
    if is_number or (value.__class__ is float and value.is_integer()):
        value = int(value)
    # `is`: isinstance would take True for 1.
    return value if value.__class__ is int and 0 <= value <= MOST_TOKENS else None
