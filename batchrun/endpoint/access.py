"""How an endpoint is reached: base URL, key, project, and the headers and the query that it wants."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.key import Secret, find_headers, find_key, find_project
from batchrun.job.endpoint import Endpoint
from batchrun.job.limits import Limits

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Access(NamedTuple):
    """Where requests go, and what they carry."""

    base_url: str
    """Of the job's endpoint, or of the simulator."""
    key: Secret | None
    """None when the endpoint needs none."""
    project: str | None
    headers: Mapping[str, str | Secret] = _NOTHING
    """Those that the job adds."""
    query: Mapping[str, str] = _NOTHING
    """What is added to each URL."""

    @property
    def has_key(self) -> bool:
        """Whether requests carry a key, or another secret in its place."""
        return self.key is not None or any(isinstance(value, Secret) for value in self.headers.values())

    def client(self, limits: Limits, connections: int) -> HttpClient:
        """Return a client that opens at most so many connections."""
        project = {"OpenAI-Project": self.project} if self.project else {}
        return HttpClient(
            self.base_url,
            self.key,
            {**project, **self.headers},
            query=self.query,
            connections=connections,
            timeout_s=limits.timeout_s,
            connect_timeout_s=limits.connect_timeout_s,
        )


def access_for(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> Access:
    """Return the access to an endpoint, with its secrets.

    Raises:
        EndpointRefused: a key or the value of a header was not found.
        JobError: the environment names a project that no header can hold.
    """
    project = find_project(endpoint, environ)
    headers = endpoint.plain_headers | find_headers(endpoint, environ)
    return Access(endpoint.base_url, find_key(endpoint, environ), project, headers, endpoint.query)
