"""`batchrun models`."""

import asyncio
from typing import Any

import click
import orjson

from batchrun import __version__
from batchrun.cli.flags import job_flags, overrides_of
from batchrun.credentials import find_key, find_project
from batchrun.errors import EndpointRefused, Stopped
from batchrun.job import Endpoint
from batchrun.job_file import job_for
from batchrun.pool.client import HttpClient
from batchrun.pool.verdicts import EFFECTS, judge
from batchrun.records import Fault, Reply


@click.command("models")
@job_flags("Endpoint")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")
def models_command(as_json: bool, **flags: Any) -> None:
    """List what the endpoint serves, W&B Inference unless told otherwise.

    \b
    batchrun models
    batchrun models --base-url http://127.0.0.1:8000/v1
    """
    endpoint = job_for(["-"], overrides_of(flags)).endpoint
    names = _names(asyncio.run(_asked(endpoint)), endpoint)
    if as_json:
        click.echo(orjson.dumps({"base_url": endpoint.base_url, "models": names}).decode())
    else:
        for name in names:
            click.echo(name)


async def _asked(endpoint: Endpoint) -> Reply | Fault:
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


def _names(result: Reply | Fault, endpoint: Endpoint) -> list[str]:
    """Return the models' names.

    Raises:
        EndpointRefused: the endpoint does not want this key, project or region, or has no such list.
        Stopped: it cannot be reached or cannot answer now.
    """
    if isinstance(result, Fault):
        raise Stopped(f"{endpoint.base_url}: {result.message}")
    if result.status != 200:
        verdict = judge(result)
        effect = EFFECTS[verdict.kind or "bad_reply"]
        error = EndpointRefused if effect.row == "stays open" else Stopped
        raise error(f"{endpoint.base_url}: {verdict.message}; {effect.cure}".rstrip("; "))
    try:
        names = [model["id"] for model in orjson.loads(result.body)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        names = [None]
    if not all(isinstance(name, str) and name.isprintable() for name in names):
        raise Stopped(f"{endpoint.base_url}: what it answers is no list of models; check that the base URL ends in /v1")
    return sorted(names)
