"""The regular tasks during a run; most of them are tested end to end."""

import asyncio
import dataclasses
import threading
from typing import Any, cast

import pytest

from batchrun.engine.ticker import Watch
from batchrun.errors import RunDirectoryError


class _Quiet:
    """A stand-in for everything that the ticker uses; every call returns 0."""

    def __getattr__(self, name: str) -> Any:
        return _Quiet()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return 0.0


def watch_that(save: Any) -> Watch:
    quiet = cast("Any", _Quiet())
    return Watch(**{each.name: quiet for each in dataclasses.fields(Watch)} | {"save": save})


@pytest.mark.parametrize("problem", [None, RunDirectoryError("full")])
def test_a_cancelled_watch_ends_after_the_write_that_it_has_begun(problem: Exception | None) -> None:
    """Otherwise a late run.json would replace the one that says how the run ended."""
    begun, proceed = threading.Event(), threading.Event()
    written: list[str] = []

    def save() -> None:
        begun.set()
        assert proceed.wait(10)
        written.append("running")
        if problem is not None:
            raise problem

    async def main() -> None:
        saving = asyncio.create_task(watch_that(save)._save())
        await asyncio.to_thread(begun.wait, 10)
        saving.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not saving.done()
        proceed.set()
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert written == ["running"]

    asyncio.run(main())
