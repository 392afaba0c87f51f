"""What is known about the answers to one kind of request. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from batchrun.answers.chat import NOTHING, Completion, error_text
from batchrun.answers.usage import parse_usage
from batchrun.records import Usage

Parsed = Mapping[str, Any]

_NO_USAGE = Usage()


def _nothing_broken(_: Parsed) -> None:
    """Return None: these answers come whole, or not at all."""


class Shape(NamedTuple):
    """The functions that read a parsed reply. They run once per answer, and again at each export."""

    name: str
    """What an answer is, in messages: "a chat completion"."""
    is_like: Callable[[Parsed], bool]
    """Returns, after one look, whether an object can only be such an answer, if it is one at all."""
    problem_of: Callable[[Any], str | None]
    """Returns why a reply is not such an answer; None when it is one."""
    completion_of: Callable[[Parsed], Completion]
    """Returns the shown parts of an answer; `NOTHING` for an object that is not one."""
    broken_in: Callable[[Parsed], dict[str, Any] | None] = _nothing_broken
    """Returns the error inside an answer without a problem; None when the answer is whole."""
    usage_of: Callable[[Parsed], Usage] = parse_usage
    """Returns the token counts."""


def data_shape(name: str, is_like: Callable[[Parsed], bool], read: Callable[[Any], Any]) -> Shape:
    """Return the shape of answers that are not texts.

    Args:
        name: what an answer is, in messages.
        is_like: see `Shape.is_like`.
        read: returns the data of a reply, or a text: why it has none.
    """

    def problem_of(reply: Any) -> str | None:
        found = read(reply)
        return found if isinstance(found, str) else None

    def completion_of(reply: Parsed) -> Completion:
        found, its_id = read(reply), reply.get("id")
        if isinstance(found, str):
            return NOTHING
        return Completion(response_id=its_id if isinstance(its_id, str) else None, data=found)

    return Shape(name, is_like, problem_of, completion_of, usage_of=input_usage)


def first_of(reply: Parsed, name: str) -> Parsed:
    """Return the first object in a list of a reply; an empty one where there is none."""
    items = reply.get(name)
    return items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else {}


def items_of(reply: Any, *names: str) -> list[dict[str, Any]] | str:
    """Return the objects in the first list of these names; why there are none, if there are none."""
    if not isinstance(reply, dict):
        return "the answer is not a JSON object"
    items: Any = next((reply[name] for name in names if isinstance(reply.get(name), list)), None)
    found = [each for each in items or () if isinstance(each, dict)]
    if found and len(found) == len(items):
        return found
    return error_text(reply) or f"the answer has no {names[0]}"


def input_usage(reply: Parsed) -> Usage:
    """Return the token counts of an answer that is not a text: nothing of it is billed as output."""
    meta = reply.get("meta")  # Cohere's
    found = parse_usage({"usage": meta.get("tokens")} if isinstance(meta, dict) else reply)
    prompt = found.prompt_tokens or found.total_tokens
    return Usage(prompt, 0, found.total_tokens or prompt, found.cached_tokens) if prompt else _NO_USAGE
