"""Asks an endpoint which models it serves."""

from collections.abc import Callable

from batchrun.endpoint.access import access_for
from batchrun.endpoint.advice import cure_for, place_of
from batchrun.endpoint.diagnosis import finding, names_in
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS, ForRow
from batchrun.errors import EndpointRefused, Stopped
from batchrun.job.endpoint import Endpoint
from batchrun.job.limits import Limits
from batchrun.records import Fault, Reply
from batchrun.storage.slow import reported_when_slow

_LIMITS = Limits(timeout_s=30, connect_timeout_s=10)


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
        access = access_for(endpoint)
    async with access.client(_LIMITS, connections=1) as client:
        result = await client.models()
    names = names_in(result.body) if isinstance(result, Reply) and result.is_success else None
    if names is not None:
        return names
    verdict = judge(result)
    found = await finding(verdict.kind or "bad_reply", access, ())
    raise _problem(result, endpoint, found, has_key=access.has_key)


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
