"""How one execution reaches its endpoints: the job's own, or the embedded simulator in their place."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from batchrun.endpoint.access import Access as Access
from batchrun.endpoint.access import access_for
from batchrun.endpoint.key import Secret, find_project
from batchrun.job.endpoint import Endpoint


@contextlib.asynccontextmanager
async def access_to(endpoints: Mapping[str, Endpoint], *, simulate: bool) -> AsyncIterator[dict[str, Access]]:
    """Yield the access to each endpoint, by name. If simulated, run a simulator meanwhile; it answers as any model.

    Raises:
        EndpointRefused: no key was found.
    """
    if not simulate:
        yield {name: access_for(endpoint) for name, endpoint in endpoints.items()}
        return
    from batchrun.simulator import Settings, serve

    async with contextlib.AsyncExitStack() as simulators:
        found = {}
        for name, endpoint in endpoints.items():
            simulator = await simulators.enter_async_context(serve(Settings(models=())))
            found[name] = Access(simulator.base_url, Secret("simulated"), find_project(endpoint))
        yield found
