"""How one execution reaches its endpoint: the job's own, or the embedded simulator in its place."""

import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from batchrun import __version__
from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.key import Secret, find_key, find_project
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Limits


class Access(NamedTuple):
    """Where requests go, and who sends them."""

    base_url: str
    """Of the job's endpoint, or of the simulator."""
    key: Secret | None
    """None when the endpoint needs none."""
    project: str | None

    def client(self, limits: Limits, connections: int) -> HttpClient:
        """Return a client that opens at most so many connections."""
        return HttpClient(
            self.base_url,
            self.key,
            self.project,
            connections=connections,
            timeout_s=limits.timeout_s,
            connect_timeout_s=limits.connect_timeout_s,
            user_agent=f"batchrun/{__version__}",
        )


@contextlib.asynccontextmanager
async def access_to(endpoint: Endpoint, *, simulate: bool) -> AsyncIterator[Access]:
    """Yield the access to an endpoint. If simulated, run the simulator meanwhile; it answers as any model.

    Raises:
        EndpointRefused: no key was found.
    """
    project = find_project(endpoint)
    if not simulate:
        yield Access(endpoint.base_url, find_key(endpoint), project)
        return
    from batchrun.simulator import Settings, serve

    async with serve(Settings(models=())) as simulator:
        yield Access(simulator.base_url, Secret("simulated"), project)
