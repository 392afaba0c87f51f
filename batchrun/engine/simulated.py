"""The embedded simulator in the place of an endpoint."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

from batchrun.job.sections import Endpoint


@contextlib.asynccontextmanager
async def simulated(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """Run the simulator, which answers as any model, while the context lasts; yield the endpoint at its address."""
    from batchrun.simulator import Settings, serve

    async with serve(Settings(models=())) as simulator:
        yield dataclasses.replace(endpoint, base_url=simulator.base_url)
