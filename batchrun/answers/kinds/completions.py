"""The answers of `/completions`, which base models give: a text after the prompt. Pure.

They have the outline of chat completions, with `text` in the place of the message. Some gateways answer with messages;
both are read for both kinds.
"""

from batchrun.answers.chat import broken_choice, completion_of, problem_of
from batchrun.answers.kinds.shape import Shape

SHAPE = Shape("a completion", problem_of, completion_of, broken_choice)
