"""The process of one worker: a Ray actor around a `Worker`."""

import contextlib
import socket
import traceback
from collections.abc import Iterator, Mapping

import ray

from batchrun import __version__
from batchrun.endpoint.access import Access
from batchrun.endpoint.http.client import STREAM_TIMES
from batchrun.endpoint.key import hide_keys
from batchrun.engine.cluster.messages import pack_word, unpack_orders
from batchrun.engine.cluster.setup import PoolMaker, Setup
from batchrun.engine.cluster.worker import Worker
from batchrun.errors import BatchrunError
from batchrun.prompts.packing import Unpacking


class Actor:
    """What Ray runs on a node. Its methods are the messages of the driver."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._opened = contextlib.AsyncExitStack()

    async def place(self) -> tuple[str, str, str]:
        """Return the version of batchrun there, and the name and the address of the node."""
        address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]  # Ray has no types for it
        return __version__, socket.gethostname(), address

    async def find_keys(self, setup: Setup) -> list[str]:
        """Take what the worker needs; return the endpoints whose key is not on the node."""
        self._setup = setup
        return setup.find_keys()

    async def open(self, accesses: Mapping[str, Access]) -> str:
        """Start; return the incarnation.

        Args:
            accesses: to the endpoints whose key is not here. They come as an argument of a method, since Ray shows
                these nowhere; it does show the environment that an actor is given.
        """
        with _without_keys():
            return await self._open(accesses)

    async def _open(self, accesses: Mapping[str, Access]) -> str:
        if self._worker is None:
            setup = self._setup
            setup.accesses.update(accesses)
            clients = setup.clients()
            for client in clients.values():
                await self._opened.enter_async_context(client)
            budget, is_stream = setup.new_budget(), bool(setup.job.model.stream)
            unpacking = Unpacking(setup.job)
            self._worker = Worker(
                PoolMaker(setup, clients, budget, unpacking.rendering.makers),
                setup.ceilings,
                budget=budget,
                timeout_s=setup.job.limits.timeout_s * (STREAM_TIMES if is_stream else 1),
                is_stream=is_stream,
                entries=unpacking.entries,
            )
            await self._worker.begin()
        return self._worker.incarnation

    async def exchange(self, orders: bytes) -> bytes:
        """Make one exchange, of packed orders for a packed word: Ray takes twice as long for anything but bytes."""
        assert self._worker is not None
        with _without_keys():
            return pack_word(await self._worker.exchange(unpack_orders(orders)))

    async def nudge(self) -> None:
        """End the wait of the exchange that is under way."""
        if self._worker is not None:
            self._worker.nudge()


@contextlib.contextmanager
def _without_keys() -> Iterator[None]:
    """Raise what nobody expected as its traceback, without keys: the driver may not know those of this node."""
    try:
        yield
    except (BatchrunError, MemoryError):  # the driver understands these
        raise
    except Exception as error:  # noqa: BLE001  its text may hold the key
        raise RuntimeError(hide_keys("".join(traceback.format_exception(error)))) from None
