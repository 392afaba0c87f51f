"""Reads the texts of bodies that hold no conversation, and makes answers that are not texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import Any

from batchrun.simulator.chat import Chat
from batchrun.simulator.errors import bad_request
from batchrun.simulator.kinds.kind import Body, Kind, ask
from batchrun.simulator.settings import Settings


def texts(body: Body, name: str) -> list[str]:
    """Return the texts under a key: one or several, also as token ids; raises a 400 if there are none."""
    value = body.get(name)
    if value is None:
        raise bad_request(f"Missing required parameter: '{name}'.", param=name)
    found = [value] if not isinstance(value, list) or _are_tokens(value) else value
    shown = [" ".join(map(str, each)) if isinstance(each, list) and _are_tokens(each) else each for each in found]
    shown = [each.get("text") if isinstance(each, dict) else each for each in shown]
    if not shown or not all(isinstance(each, str) and each for each in shown):
        raise bad_request(f"Invalid type for '{name}': expected a string or an array of strings.", param=name)
    return shown


def _are_tokens(value: Sequence[Any]) -> bool:
    return bool(value) and all(type(each) is int for each in value)


def as_chat(*names: str) -> Any:
    """Return what turns a body with texts under these keys into one that asks them all in one message."""

    def converted(body: Body) -> Body:
        return ask(body, "\n".join(text for name in names for text in texts(body, name)))

    return converted


def answer(chat: Chat, number: int, prefix: str, **parts: Any) -> Body:
    """Return an answer that is not a text, with the usage of its input."""
    usage = {"prompt_tokens": chat.prompt_tokens, "completion_tokens": 0, "total_tokens": chat.prompt_tokens}
    head = {"id": f"{prefix}-{number:016x}", "created": int(time.time()), "model": chat.model}
    return head | parts | {"usage": usage | {"prompt_tokens_details": {"cached_tokens": 0}}}


def shown(answer: Body, _chat: Chat) -> Body:
    """Return an answer with the usage that servers state where there is no output."""
    if "usage" not in answer:
        return answer
    usage = {name: answer["usage"][name] for name in ("prompt_tokens", "total_tokens")}
    return answer | {"usage": usage}


def uniform(settings: Settings, *parts: str) -> float:
    """Return a number in [0, 1) that depends on the seed and some texts only."""
    return seeded(settings, *parts).random()


def seeded(settings: Settings, *parts: str) -> Random:
    """Return a source of numbers that depends on the seed and some texts only."""
    source = "\0".join((str(settings.seed), *parts)).encode()
    return Random(blake2b(source, digest_size=8).digest())  # noqa: S311 - not for secrets


def data_kind(keys: Sequence[str], complete: Any) -> Kind:
    """Return a kind whose answers are not texts.

    Args:
        keys: of a body that hold texts.
        complete: makes an answer, as `Kind.complete` does.
    """
    return Kind(as_chat(*keys), complete, shown)
