"""Asks an endpoint which models it serves."""

from collections.abc import Callable

import orjson

from batchrun import __version__
from batchrun.endpoint.advice import cure_for
from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.key import find_key, find_project
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS, ForRow
from batchrun.errors import EndpointRefused, Stopped
from batchrun.job.sections import Endpoint
from batchrun.records import Fault, Reply
from batchrun.storage.slow import reported_when_slow


async def ask_models(endpoint: Endpoint, say: Callable[[str], None]) -> Reply | Fault:
    """Ask once for the list, with the endpoint's key. `say` gets a message when the search for the key hangs."""
    with reported_when_slow("the key", "~/.netrc", say):
        key = find_key(endpoint)
    client = HttpClient(
        endpoint.base_url,
        key,
        find_project(endpoint),
        connections=1,
        timeout_s=30,
        connect_timeout_s=10,
        user_agent=f"batchrun/{__version__}",
    )
    async with client:
        return await client.models()


def model_names(result: Reply | Fault, endpoint: Endpoint) -> list[str]:
    """Return the models' names.

    Raises:
        EndpointRefused: the endpoint refuses this key, project or region, or has no such list.
        Stopped: it cannot be reached, or cannot answer now.
    """
    if isinstance(result, Fault):
        raise Stopped(f"{endpoint.base_url}: {result.message}")
    if result.status != 200:
        verdict = judge(result)
        effect = EFFECTS[verdict.kind or "bad_reply"]
        error = EndpointRefused if effect.row is ForRow.OPEN else Stopped
        has_key = find_key(endpoint) is not None
        cure = cure_for(verdict.kind or "bad_reply", endpoint, has_key=has_key, lists_models=True)
        raise error(f"{endpoint.base_url}: {verdict.message}; {cure}".rstrip("; "))
    try:
        names = [model["id"] for model in orjson.loads(result.body)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        names = [None]
    if not all(isinstance(name, str) and name.isprintable() for name in names):
        raise Stopped(f"{endpoint.base_url}: the answer is not a list of models; check that the base URL ends in /v1")
    return sorted(names)
