"""Why a run by batches ends with rows left open."""

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Callable, Sequence

from batchrun.checkpoint.batch_tables import BatchRow
from batchrun.engine.batches.owner import KEPT_DAYS
from batchrun.records import Request, Stop
from batchrun.report.texts import counted


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
    feed: AsyncGenerator[Sequence[Request]],
    say: Callable[[str], None],
    *,
    had_any: bool,
    given_up: Sequence[BatchRow] = (),
) -> Stop | None:
    """Return why rows stay open after all batches were cancelled; None where none does.

    Args:
        feed: what is not settled.
        say: prints a line.
        had_any: whether there was a batch.
        given_up: batches of another account, which were not cancelled.
    """
    message = "the batches have ended, and what they had answered is kept"
    if given_up:
        message = _given_up_text(given_up)
    elif not had_any:
        message = "no batch is under way: there was nothing to cancel"
    async with contextlib.aclosing(feed):
        async for requests in feed:
            if requests:
                cure = "run the command without --cancel to go on"
                return Stop(kind="cancelled", message=f"{message}; {cure}", exit_code=5)
    say(message)
    return None


def _given_up_text(rows: Sequence[BatchRow]) -> str:
    requests = counted(sum(row.requests for row in rows), "request")
    return (
        f"{counted(len(rows), 'batch', 'batches')} with {requests} given up, not cancelled: this key does not see what "
        "another one has created. They may continue, billed to the account of that key, until you have them cancelled "
        "at the provider with it. No later run collects them; what they answer can be downloaded there with that key, "
        f"from OpenAI for {KEPT_DAYS} days"
    )
