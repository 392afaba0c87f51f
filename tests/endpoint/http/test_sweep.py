"""Streams are looked at some times a second: those that send live, those that fall silent are read."""

import asyncio

import pytest

from batchrun.endpoint.http import sweep as sweep_module
from batchrun.endpoint.http.sweep import Sweep


class Stream:
    """What a sweep sees of a receiver."""

    def __init__(self) -> None:
        self.arrived_bytes = self.looks = self.pieces = 0

    def look(self) -> None:
        self.looks += 1

    def on_piece(self) -> None:
        self.pieces += 1


def test_a_stream_that_sends_is_extended_and_one_that_is_silent_is_read() -> None:
    """By what has come since the last look."""

    async def main() -> None:
        sweep, sends, silent, over = Sweep(60), Stream(), Stream(), Stream()
        for each in (sends, silent, over):
            sweep.watch(each, each.on_piece)  # type: ignore[arg-type]
        sweep.forget(over)  # type: ignore[arg-type]
        sweep.forget(over)  # type: ignore[arg-type]
        sends.arrived_bytes += 1
        sweep.look()
        assert [(each.pieces, each.looks) for each in (sends, silent, over)] == [(1, 0), (0, 1), (0, 0)]
        sweep.look()
        assert [(each.pieces, each.looks) for each in (sends, silent, over)] == [(1, 1), (0, 2), (0, 0)]
        sweep.close()

    asyncio.run(main())


@pytest.mark.parametrize(("timeout_s", "every_s"), [(600.0, 0.25), (0.2, 0.05)])
def test_a_timer_looks_as_long_as_there_are_streams(
    timeout_s: float, every_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some times in the shortest time that a stream may be silent for."""
    waits: list[float] = []

    async def main() -> None:
        loop, sweep, stream = asyncio.get_running_loop(), Sweep(timeout_s), Stream()
        later = loop.call_later
        monkeypatch.setattr(loop, "call_later", lambda wait_s, call: (waits.append(wait_s), later(0, call))[1])
        sweep.watch(stream, stream.on_piece)  # type: ignore[arg-type]
        sweep.watch(stream, stream.on_piece)  # type: ignore[arg-type]
        for _ in range(50):
            await asyncio.sleep(0)
        assert stream.looks >= 5
        sweep.forget(stream)  # type: ignore[arg-type]
        looks = len(waits)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(waits) == looks

    asyncio.run(main())
    assert sweep_module._EVERY_S == 0.25
    assert set(waits) == {every_s}
