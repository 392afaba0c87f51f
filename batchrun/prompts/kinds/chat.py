"""Requests of `/chat/completions`: a conversation. Pure."""

from typing import Any

from batchrun.prompts.kinds.shape import CANARY, Asked, Shape
from batchrun.prompts.messages import checked_messages, user_message
from batchrun.records import Row

SETTINGS = frozenset({"temperature", "max_tokens", "top_p", "seed", "stop", "tools", "logprobs", "top_logprobs"})
"""All of the settings of `[model]` that become parameters."""


def _messages(column: str, value: Any) -> Any:
    return checked_messages(value, Row(0, None, ""), column)


SHAPE = Shape(
    asked=(Asked("messages", _messages),),
    settings=SETTINGS,
    canary={"messages": [user_message(CANARY)], "max_tokens": 1},
    has_messages=True,
    takes_n=True,
    stream=b',"stream":true,"stream_options":{"include_usage":true}',
)
