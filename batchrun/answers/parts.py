"""Takes the answer to a bundle apart: for each of its requests the answer that it alone would have got. Pure.

Tokens are whole numbers, and their parts add up to what was billed: the prompt in proportion to what each request asks,
the answer in proportion to its length.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import orjson

from batchrun.records import RequestKind, Usage

USAGES = ("usage", "usage_metadata", "usageMetadata", "x_groq")
"""Where servers state the usage; see `answers.usage`."""


OF_VECTOR = frozenset({"object", "index", "embedding"})
"""Fields of a vector at OpenAI: with no others, all that differs between the answers to the texts is the vector."""

_VECTOR = b'"embedding":'
_NO_VECTOR = _VECTOR + b"null"

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of answers."""


class Part(NamedTuple):
    """The answer to one request of a bundle."""

    place: int
    """Of the request in the bundle, from 0."""
    body: bytes
    """The answer, as JSON."""
    usage: Usage


def parts_of(answer: Mapping[str, Any], kind: RequestKind, sizes: Sequence[int], usage: Usage) -> list[Part]:
    """Return the parts of an answer, without those that are missing in it.

    Args:
        answer: parsed.
        kind: of the requests.
        sizes: bytes of the body of each request.
        usage: of the answer; shared by the parts that are there.
    """
    name = "data" if kind == "embeddings" else "choices"
    items = answer.get(name)
    found = [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []
    placed = _by_index(found, len(sizes)) if kind == "embeddings" else dict(enumerate(found[: len(sizes)]))
    if not placed:
        return []
    lengths = [len(orjson.dumps(item)) for item in placed.values()] if usage.completion_tokens else [1] * len(placed)
    usages = split_usage(usage, [sizes[place] for place in placed], lengths)
    stated = answer.get("usage")
    ends = {its: usage_end(its, stated) for its in set(usages)}
    bodies = _bodies({key: value for key, value in answer.items() if key not in USAGES}, name, [*placed.values()])
    return [_new(Part, (place, body + ends[its], its)) for place, body, its in zip(placed, bodies, usages, strict=True)]


def _bodies(rest: dict[str, Any], name: str, items: list[dict[str, Any]]) -> list[bytes]:
    """Return, for each item, the JSON of an answer with it alone, but for the end of the object."""
    first = items[0]
    if set(map(tuple, items)) == {tuple(first)} and first.keys() <= OF_VECTOR and "embedding" in first:
        named = first.get("object")
        if named is None or [each["object"] for each in items].count(named) == len(items):
            frame = orjson.dumps(rest | {name: [first | {"index": 0, "embedding": None}]})[:-1].split(_NO_VECTOR)
            if len(frame) == 2:
                head, tail = frame[0] + _VECTOR, frame[1]
                return [head + orjson.dumps(each["embedding"]) + tail for each in items]
    return [
        orjson.dumps(rest | {name: [item if item.get("index") == 0 else item | {"index": 0}]})[:-1] for item in items
    ]


def usage_end(usage: Usage, stated: Any) -> bytes:
    """Return the end of the JSON of a part, with its share of the tokens; `stated` is the usage of the whole answer."""
    shown = _shown(usage, stated)
    return b"," + orjson.dumps(shown)[1:] if shown else b"}"


def _by_index(items: list[dict[str, Any]], count: int) -> dict[int, dict[str, Any]]:
    """Return place → item; without usable indexes all items in their order, or none if some are missing."""
    placed = {item["index"]: item for item in items if type(item.get("index")) is int and 0 <= item["index"] < count}
    return placed or (dict(enumerate(items)) if len(items) == count else {})


def _shown(usage: Usage, stated: Any) -> dict[str, Any]:
    """Return the usage as a part of an answer; a count of 0 only where the whole answer states it."""
    named = stated if isinstance(stated, dict) else {}
    counts = zip(("prompt_tokens", "completion_tokens", "total_tokens"), usage[:3], strict=True)
    shown: dict[str, Any] = {name: count for name, count in counts if count or (count == 0 and name in named)}
    if usage.cached_tokens is not None:
        shown["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        shown["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return {"usage": shown} if shown else {}


def split_usage(usage: Usage, prompts: Sequence[int], answers: Sequence[int]) -> list[Usage]:
    """Return usages that add up to this one exactly.

    Args:
        usage: to split.
        prompts: how much of the prompt each part has; above 0.
        answers: how much of the answer each part has; above 0.
    """
    prompt, completion, total, cached, reasoning = usage
    inputs, cached_parts = _split_within(prompt, cached, prompts)
    outputs, reasoning_parts = _split_within(completion, reasoning, answers)
    if prompt is not None and completion is not None and total == prompt + completion:
        totals: Sequence[int | None] = [(one or 0) + (other or 0) for one, other in zip(inputs, outputs, strict=True)]
    else:
        totals = _split(total, prompts)
    return [_new(Usage, each) for each in zip(inputs, outputs, totals, cached_parts, reasoning_parts, strict=True)]


def _split_within(
    whole: int | None, inner: int | None, weights: Sequence[int]
) -> tuple[Sequence[int | None], Sequence[int | None]]:
    """Return the parts of a count, and of one that is included in it: no part includes more than it is."""
    if whole is None or not inner or inner > whole:
        return _split(whole, weights), _split(inner, weights)
    wholes = _shares(whole, weights)
    return wholes, _shares(inner, wholes, least=0)


def _split(count: int | None, weights: Sequence[int]) -> Sequence[int | None]:
    return [None] * len(weights) if count is None else _shares(count, weights)


def _shares(count: int, weights: Sequence[int], least: int = 1) -> list[int]:
    """Return a count in whole parts, in proportion to weights.

    No part is less than `least` if there are so many for each: an answer of 0 tokens is read as one that states none.
    """
    if count == 0:
        return [0] * len(weights)
    if count < least * len(weights):
        least = 0
    rest, whole = count - least * len(weights), sum(weights)
    ends = [rest * end // whole for end in accumulate(weights, initial=0)]
    return [least + end - begin for begin, end in pairwise(ends)]
