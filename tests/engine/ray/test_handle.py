"""What Ray raises becomes what the driver understands: a worker is dead, or a call can be repeated. No cluster runs."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed")

from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayTaskError,
    WorkerCrashedError,
)

from batchrun.engine.cluster.post import WorkerDied, WorkerUnavailable
from batchrun.engine.ray.handle import _answer
from batchrun.errors import JobError


def raised(cause: Exception) -> RayTaskError:
    """Return what Ray raises where a worker has raised something."""
    return RayTaskError("exchange", "a traceback", cause)


@pytest.mark.parametrize(
    ("problem", "understood"),
    [
        (ActorDiedError(), WorkerDied),
        (NodeDiedError("gone"), WorkerDied),
        (OutOfMemoryError("killed, since the node was out of memory"), WorkerDied),
        (WorkerCrashedError(), WorkerDied),
        (raised(MemoryError()), WorkerDied),
        (ActorUnavailableError("no reply", None), WorkerUnavailable),
        (ObjectStoreFullError("full"), WorkerUnavailable),
        (OutOfDiskError("full"), WorkerUnavailable),
        (raised(ObjectStoreFullError("full")), WorkerUnavailable),
        (raised(JobError("no such file")), JobError),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else each.__name__,
)
def test_a_worker_is_dead_or_a_call_can_be_repeated(problem: Exception, understood: type[Exception]) -> None:
    """What the worker itself has raised stays what it is, unless its memory was full: then it is as good as dead."""

    async def call(*arguments: Any) -> None:
        raise problem

    with pytest.raises(understood):
        asyncio.run(_answer(call))


@pytest.mark.parametrize("problem", [OutOfMemoryError("the node running low on memory"), raised(MemoryError())])
def test_a_worker_that_died_for_want_of_memory_has_that_as_its_reason(problem: Exception) -> None:
    """The operator can give the node more, or fewer processes."""

    async def call(*arguments: Any) -> None:
        raise problem

    with pytest.raises(WorkerDied, match="its node had too little memory left"):
        asyncio.run(_answer(call))


def test_a_call_whose_arguments_have_no_room_in_the_object_store_can_be_repeated() -> None:
    """Ray raises it before anything is sent."""

    def call(*arguments: Any) -> Any:
        raise ObjectStoreFullError("full")

    with pytest.raises(WorkerUnavailable):
        asyncio.run(_answer(call))
