"""What the server needs to know about one kind of request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from batchrun.simulator.chat import Chat

Body = dict[str, Any]


class Kind(NamedTuple):
    """One kind: how its bodies become chat completions and back."""

    as_chat: Callable[[Body], Body]
    """Returns a body with its prompt as `messages`; raises a 400 if it is not one of this kind."""
    complete: Callable[..., Body]
    """Makes the model's answer, with the usage of a chat completion."""
    shown: Callable[[Body, Chat], Body]
    """Returns an answer in this kind's own shape."""
    events: Callable[[Body, Chat], Iterator[bytes]] | None = None
    """Yields the events of a streamed answer; None where answers are not streamed."""

    def streams(self, chat: Chat) -> bool:
        """Return whether the answer to a request is sent as events."""
        return chat.stream and self.events is not None


def ask(body: Body, text: str, **others: Any) -> Body:
    """Return a body that asks a text in one user message."""
    return body | others | {"messages": [{"role": "user", "content": text}]}
