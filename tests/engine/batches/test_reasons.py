"""Why a run by batches ends with rows left open."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from batchrun.checkpoint.batch_tables import CREATED, BatchRow
from batchrun.engine.batches.reasons import after_cancel, with_left
from batchrun.records import Request, Stop

ROW = BatchRow(1, "m", "chat", CREATED, 40, 0.0, 0.0, 0)


def test_what_continues_at_the_provider_is_named_between_the_reason_and_its_cure() -> None:
    stop = Stop(kind="interrupted", message="interrupted; run it again", exit_code=130)
    assert with_left(stop, "") == stop
    assert with_left(None, "1 batch goes on") is None
    found = with_left(stop, "1 batch goes on")
    assert found is not None
    assert found.message == "interrupted; 1 batch goes on; run it again"
    assert found.exit_code == 130


@pytest.mark.parametrize(
    ("had_any", "given_up", "reason"),
    [
        (True, (), "the batches have ended, and what they had answered is kept"),
        (False, (), "no batch is under way: there was nothing to cancel"),
        (True, (ROW,), "1 batch with 40 requests given up, not cancelled"),
    ],
)
@pytest.mark.parametrize("is_left", [True, False])
def test_a_cancelled_run_stops_where_rows_are_left_and_says_what_became_of_the_batches(
    had_any: bool, given_up: tuple[BatchRow, ...], reason: str, is_left: bool
) -> None:
    shown: list[str] = []

    async def feed() -> AsyncGenerator[Sequence[Request]]:
        yield [Request(0, "m", 0, bytes(16), b"{}", None)] if is_left else []

    stop = asyncio.run(after_cancel(feed(), shown.append, had_any=had_any, given_up=given_up))
    if is_left:
        assert stop is not None
        assert stop.message.startswith(reason)
        assert stop.message.endswith("; run the command without --cancel to go on")
        assert (stop.exit_code, shown) == (5, [])
    else:
        assert stop is None
        [text] = shown
        assert text.startswith(reason)
