"""The answers of `/completions`, which base models give: a text after the prompt. Pure.

They have the outline of chat completions, with `text` in the place of the message. Some gateways answer with messages;
both are read for both kinds.
"""

from batchrun.answers.chat import broken_choice, completion_of, problem_of
from batchrun.answers.kinds.shape import Parsed, Shape


def has_choices(reply: Parsed) -> bool:
    """Return whether a reply can only be a completion, of either kind, if it is an answer at all."""
    return "choices" in reply


SHAPE = Shape("a completion", has_choices, problem_of, completion_of, broken_choice)
