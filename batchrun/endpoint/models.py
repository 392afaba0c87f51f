"""Asks an endpoint which models it serves."""

from collections.abc import Callable
from typing import NamedTuple

from batchrun import __version__
from batchrun.endpoint.advice import cure_for, place_of
from batchrun.endpoint.diagnosis import finding, names_in
from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.key import Secret, find_key, find_project
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS, ForRow
from batchrun.errors import EndpointRefused, Stopped
from batchrun.job.endpoint import Endpoint
from batchrun.records import Fault, Reply
from batchrun.storage.slow import reported_when_slow


class _Reach(NamedTuple):
    base_url: str
    key: Secret | None
    project: str | None


async def served_models(endpoint: Endpoint, say: Callable[[str], None]) -> list[str]:
    """Return the names of the models that an endpoint serves; it is asked once, with its key.

    Args:
        endpoint: to ask.
        say: gets a message when the search for the key hangs.

    Raises:
        EndpointRefused: the endpoint does not answer, refuses this key, project or region, or has no such list.
        Stopped: it cannot answer now.
    """
    with reported_when_slow("the key", "~/.netrc", say):
        reach = _Reach(endpoint.base_url, find_key(endpoint), find_project(endpoint))
    client = HttpClient(*reach, connections=1, timeout_s=30, connect_timeout_s=10, user_agent=f"batchrun/{__version__}")
    async with client:
        result = await client.models()
    names = names_in(result.body) if isinstance(result, Reply) and result.is_success else None
    if names is not None:
        return names
    verdict = judge(result)
    found = await finding(verdict.kind or "bad_reply", reach, ())
    raise _problem(result, endpoint, found, has_key=reach.key is not None)


def _problem(result: Reply | Fault, endpoint: Endpoint, found: str, *, has_key: bool) -> EndpointRefused | Stopped:
    """Return the error for an answer that is not a list; `found` is what asking around has shown."""
    verdict = judge(result)
    kind = verdict.kind or "bad_reply"
    cure = found or cure_for(kind, endpoint, has_key=has_key, lists_models=True)
    if isinstance(result, Reply) and result.is_success:
        return Stopped(f"{place_of(endpoint)}: the answer is not a list of models; {cure}")
    is_refused = isinstance(result, Fault) or EFFECTS[kind].row is ForRow.OPEN
    message = f"{place_of(endpoint)}: {verdict.message}; {cure}".rstrip("; ")
    return EndpointRefused(message) if is_refused else Stopped(message)
