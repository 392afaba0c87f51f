"""The kinds of answers: by the request that was sent, and by the reply itself where the request is not known. Pure."""

from collections.abc import Mapping
from typing import Any

from batchrun.answers.chat import broken_choice, completion_of, problem_of
from batchrun.answers.kinds import completions
from batchrun.answers.kinds.shape import Shape
from batchrun.records import RequestKind

CHAT = Shape("a chat completion", problem_of, completion_of, broken_choice)

SHAPES: Mapping[RequestKind, Shape] = {"chat": CHAT, "completions": completions.SHAPE}


def shape_of(reply: Any) -> Shape | None:
    """Return what kind of answer a parsed reply is, by its fields; None when it is not an answer of any kind."""
    return next((shape for shape in SHAPES.values() if shape.problem_of(reply) is None), None)
