"""Why a run by batches ends with rows left open."""

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Callable, Sequence

from batchrun.records import Request, Stop


def with_left(stop: Stop | None, left_text: str) -> Stop | None:
    """Return the reason to stop, with what goes on at the provider.

    Args:
        stop: the reason.
        left_text: empty where nothing goes on.
    """
    if stop is None or not left_text:
        return stop
    reason, *cure = stop.message.split("; ", 1)
    return dataclasses.replace(stop, message="; ".join([reason, left_text, *cure]))


async def after_cancel(
    feed: AsyncGenerator[Sequence[Request]], say: Callable[[str], None], *, had_any: bool
) -> Stop | None:
    """Return why rows stay open after all batches were cancelled; None where none does.

    Args:
        feed: what is not settled.
        say: prints a line.
        had_any: whether there was a batch.
    """
    message = "the batches were cancelled, and what they had answered is kept"
    if not had_any:
        message = "no batch is under way: there was nothing to cancel"
    async with contextlib.aclosing(feed):
        async for requests in feed:
            if requests:
                cure = "run the command without --cancel to go on"
                return Stop(kind="cancelled", message=f"{message}; {cure}", exit_code=5)
    say(message)
    return None
