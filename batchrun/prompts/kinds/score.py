"""Requests of `/score`: how well a text fits another, or each of several. Pure."""

from batchrun.prompts.kinds.shape import CANARY, Asked, Shape, one_or_more

SHAPE = Shape(
    asked=(Asked("text_1", one_or_more), Asked("text_2", one_or_more)),
    settings=frozenset(),
    canary={"text_1": CANARY, "text_2": CANARY},
    has_text=False,
)
