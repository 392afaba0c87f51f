"""One endpoint as the pool is given it, and which endpoints serve a model."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.endpoint.pool.attempts import Client, Task
from batchrun.endpoint.pool.rules import Rules
from batchrun.endpoint.pool.slots import Slots
from batchrun.endpoint.renaming import Renames
from batchrun.records import Fault, Reply, RequestKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint: how it is reached, and what holds for it alone."""

    name: str = ""
    """Name of the endpoint in the job; empty where the job has one."""
    client: Client
    """Makes one attempt."""
    limit: Slots
    """How many requests may be in flight."""
    rules: Rules
    """What to decide by."""
    models: Mapping[str, str] | None = None
    """Names of the models in the job → their names at the endpoint; None: every model that no other route names."""

    @property
    def sending_client(self) -> Client:
        """The client; where models have other names at the endpoint, one that puts those into the bodies."""
        names = self.models or {}
        return _Renaming(self.client, names) if any(ours != its for ours, its in names.items()) else self.client


class _Renaming:
    """A client that puts the names that models have at an endpoint into the bodies."""

    def __init__(self, client: Client, names: Mapping[str, str]) -> None:
        self._client = client
        self._renames = Renames(names)

    def send(self, body: bytes, kind: RequestKind) -> Coroutine[Any, Any, Reply | Fault]:
        """Send one body, with the name of its model at the endpoint."""
        return self._client.send(self._renames.body(body), kind)

    def give_up(self, attempt: Task, silent_s: float) -> bool:
        """End the attempt of a task; see `Client.give_up`."""
        return self._client.give_up(attempt, silent_s)


def serving(routes: Sequence[Route], model: str) -> list[Route]:
    """Return the routes that serve a model. Where none does, all are asked: an endpoint knows best what it has."""
    named = [route for route in routes if route.models is not None and model in route.models]
    return named or [route for route in routes if route.models is None] or list(routes)
