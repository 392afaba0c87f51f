"""Requests of `/rerank`: documents to order by their relevance to a query. Pure."""

from batchrun.prompts.kinds.shape import CANARY, Asked, Shape, documents, one_or_more

SHAPE = Shape(
    asked=(Asked("query", one_or_more), Asked("documents", documents)),
    settings=frozenset(),
    canary={"query": CANARY, "documents": [CANARY]},
    has_text=False,
)
