"""`/v1/rerank`: documents that share words with the query come first."""

from __future__ import annotations

from typing import Any

from batchrun.simulator.chat import Chat
from batchrun.simulator.kinds.kind import Body
from batchrun.simulator.kinds.texts import answer, data_kind, texts, uniform
from batchrun.simulator.settings import Settings


def relevance(settings: Settings, one: str, other: str) -> float:
    """Return how well two texts fit, 0 to 1: the share of the words of the first that the second has, blurred."""
    words = {*one.lower().split()}
    share = len(words & {*other.lower().split()}) / len(words) if words else 0.0
    return round(0.9 * share + 0.1 * uniform(settings, one, other), 6)


def _complete(chat: Chat, settings: Settings, *, number: int, **_: Any) -> Body:
    body = chat.body
    [query] = texts(body, "query")
    documents = texts(body, "documents")
    found: list[Body] = [
        {"index": index, "document": {"text": text}, "relevance_score": relevance(settings, query, text)}
        for index, text in enumerate(documents)
    ]
    found.sort(key=lambda each: -each["relevance_score"])
    return answer(chat, number, "rerank", results=found[: body.get("top_n") or len(found)])


KIND = data_kind(("query", "documents"), _complete)
