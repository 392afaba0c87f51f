"""One worker as the driver reaches it: a Ray actor, whose errors become the driver's."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from batchrun import __version__
from batchrun.endpoint.access import Access
from batchrun.engine.cluster.messages import Orders, Word, pack_orders, unpack_word
from batchrun.engine.cluster.post import WorkerDied, WorkerUnavailable
from batchrun.engine.cluster.setup import Setup
from batchrun.engine.ray.actor import Actor
from batchrun.errors import JobError

T = TypeVar("T")

_NO_MEMORY = "its node had too little memory left"

_CURE = "install the same version of batchrun on all nodes"

_PASSING = (ActorUnavailableError, ObjectLostError, ObjectStoreFullError, OutOfDiskError)
"""A message did not arrive, or there was no room for it: the call can be repeated."""

_DEADLY = (RayActorError, NodeDiedError, OutOfMemoryError, WorkerCrashedError)


class RayHandle:
    """One worker."""

    def __init__(
        self, setup: Setup, accesses_of: Callable[[Sequence[str], str], Mapping[str, Access]], *, cpus: float
    ) -> None:
        """Have Ray start it where there is room.

        Args:
            setup: what it needs.
            accesses_of: returns what it is given of the keys that its node, which is named, does not have.
            cpus: processors that are reserved for it.
        """
        self._setup, self._accesses_of = setup, accesses_of
        self.node = ""
        """Name of its node; empty until it is there."""
        self.address = ""
        """Address of its node; empty until it is there."""
        kind = ray.remote(Actor).options(
            num_cpus=cpus,
            scheduling_strategy="SPREAD",
            max_restarts=0,  # a restarted actor would wait for ever where there is no room for it
            max_task_retries=0,
        )
        self._actor: Any = kind.remote()

    async def open(self) -> str:
        """Wait until it is there, and start it; return its incarnation."""
        version, self.node, self.address = await _answer(self._actor.place.remote)
        if version != __version__:
            raise JobError(f"node {self.node} has batchrun {version}, and this machine has {__version__}; {_CURE}")
        lacking = await _answer(self._actor.find_keys.remote, self._setup)
        return await _answer(self._actor.open.remote, self._accesses_of(lacking, self.node))

    async def exchange(self, orders: Orders) -> Word:
        """Make one exchange."""
        return unpack_word(await _answer(self._actor.exchange.remote, pack_orders(orders)))

    def nudge(self) -> None:
        """End the wait of the exchange that is under way."""
        self._actor.nudge.remote()

    def kill(self) -> None:
        """End the worker."""
        with contextlib.suppress(Exception):  # it may be dead, or the cluster gone
            ray.kill(self._actor)


async def _answer(call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Make a call and return its answer; raise what the driver understands, or what the worker raised."""
    try:
        return await call(*arguments)
    except _PASSING as error:
        raise WorkerUnavailable from error
    except _DEADLY as error:
        if getattr(error, "actor_init_failed", False):  # it would fail on every try
            raise JobError(f"a worker cannot start on a node: {_cause(error)}; {_CURE}") from None
        raise WorkerDied(_NO_MEMORY if isinstance(error, OutOfMemoryError) else "") from error
    except RayTaskError as error:
        if isinstance(error.cause, _PASSING):
            raise WorkerUnavailable from error
        if isinstance(error.cause, MemoryError):  # what it had may be incomplete
            raise WorkerDied(_NO_MEMORY) from error
        raise error.cause from None


def _cause(error: Exception) -> str:
    """Return the last line of the worker's traceback."""
    return next(line.strip() for line in reversed(str(error).splitlines()) if line.strip())
