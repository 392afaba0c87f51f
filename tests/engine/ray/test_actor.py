"""What a worker's process raises to the driver. No cluster runs."""

import asyncio
import pickle
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("ray", reason="Ray is not installed")

from batchrun.endpoint.key import find_key
from batchrun.engine.ray.actor import Actor
from batchrun.errors import JobError
from batchrun.job.endpoint import Endpoint

KEY = "key-of-a-node-0123456789"


def raised(problem: Exception) -> Exception:
    """Return what reaches the driver when a worker raises something."""

    class Broken:
        async def exchange(self, orders: Any) -> None:
            raise problem

    actor = Actor()
    actor._worker = cast("Any", Broken())
    with pytest.raises(type(problem) if isinstance(problem, JobError | MemoryError) else RuntimeError) as caught:
        asyncio.run(actor.exchange(pickle.dumps(None)))
    return caught.value


def test_an_error_that_nobody_expected_shows_no_key_of_the_node(tmp_path: Path) -> None:
    """Only the worker's process knows the key, and the driver prints what it receives."""
    find_key(Endpoint(provider="openai"), {"OPENAI_API_KEY": KEY}, home=tmp_path)
    problem = raised(ValueError(f"cannot send to {KEY}"))
    assert "ValueError: cannot send to ***" in str(problem)
    assert problem.__suppress_context__


@pytest.mark.parametrize("problem", [JobError("no such file"), MemoryError()])
def test_what_the_driver_understands_stays_what_it_is(problem: Exception) -> None:
    """A full memory means that the worker is as good as dead."""
    assert raised(problem) is problem
