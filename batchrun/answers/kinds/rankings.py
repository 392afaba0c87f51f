"""The answers of `/rerank`: the documents by their relevance to the query, as the server has ordered them. Pure.

Source: the APIs of Jina, Cohere and vLLM; Voyage calls the list `data`.
"""

from typing import Any, NamedTuple

from batchrun.answers.kinds.shape import Parsed, data_shape, first_of, items_of

_SCORE = "relevance_score"


class Ranking(NamedTuple):
    """Some of the documents of one request, or all of them, the most relevant first."""

    entries: list[tuple[int, float]]
    """Place of a document in the request, from 0, and its relevance."""


def _is_like(reply: Parsed) -> bool:
    return _SCORE in first_of(reply, "results") or _SCORE in first_of(reply, "data")


def _read(reply: Any) -> Ranking | str:
    items = items_of(reply, "results", "data")
    if isinstance(items, str):
        return items
    found = [
        (each["index"], float(each[_SCORE]))
        for each in items
        if type(each.get("index")) is int and type(each.get(_SCORE)) in (int, float)
    ]
    return Ranking(found) if len(found) == len(items) else f"the answer has a result without index or {_SCORE}"


SHAPE = data_shape("a ranking", _is_like, _read)
