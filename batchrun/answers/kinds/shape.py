"""What is known about the answers to one kind of request. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from batchrun.answers.chat import Completion
from batchrun.answers.usage import parse_usage
from batchrun.records import Usage

Parsed = Mapping[str, Any]


def nothing_broken(_: Parsed) -> None:
    """Return None: these answers come whole, or not at all."""


class Shape(NamedTuple):
    """The functions that read a parsed reply. They run once per answer, and again at each export."""

    name: str
    """What an answer is, in messages: "a chat completion"."""
    problem_of: Callable[[Any], str | None]
    """Returns why a reply is not such an answer; None when it is one."""
    completion_of: Callable[[Parsed], Completion]
    """Returns the shown parts of an answer without a problem."""
    broken_in: Callable[[Parsed], dict[str, Any] | None] = nothing_broken
    """Returns the error inside an answer without a problem; None when the answer is whole."""
    usage_of: Callable[[Parsed], Usage] = parse_usage
    """Returns the token counts."""
