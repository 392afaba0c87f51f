"""The kinds of answers: by the request that was sent, and by the reply itself where the request is not known. Pure."""

from collections.abc import Mapping
from typing import Any

from batchrun.answers.chat import broken_choice, completion_of, problem_of
from batchrun.answers.kinds import completions, embeddings, rankings, responses, scores
from batchrun.answers.kinds.shape import Shape
from batchrun.records import RequestKind

CHAT = Shape("a chat completion", completions.has_choices, problem_of, completion_of, broken_choice)

SHAPES: Mapping[RequestKind, Shape] = {
    "chat": CHAT,
    "completions": completions.SHAPE,
    "responses": responses.SHAPE,
    "embeddings": embeddings.SHAPE,
    "rerank": rankings.SHAPE,
    "score": scores.SHAPE,
}


def shape_of(reply: Any) -> Shape | None:
    """Return the kind of answer that a parsed reply can be, by its fields; None when it cannot be an answer."""
    if not isinstance(reply, dict):
        return None
    return next((shape for shape in SHAPES.values() if shape.is_like(reply)), None)
