"""`batchrun models`."""

import asyncio
import functools
from datetime import date
from typing import Any

import click
import orjson

from batchrun.cli.flags import job_flags, overrides_of
from batchrun.cli.model_texts import model_details, model_lines
from batchrun.endpoint.advice import place_of
from batchrun.endpoint.models import served_models
from batchrun.job.endpoint import Endpoint
from batchrun.job.file import job_for


@click.command("models")
@job_flags("Endpoint")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")
def models_command(as_json: bool, **flags: Any) -> None:
    """List the models that the endpoint serves, with price, context window and end of life where these are known.

    Without --base-url, the endpoint is the one in OPENAI_BASE_URL, else W&B Inference (CoreWeave Forge).

    \b
    batchrun models
    batchrun models --base-url http://127.0.0.1:8000/v1
    """
    endpoints = job_for(["-"], overrides_of(flags)).endpoints
    listed = {endpoint.base_url: _listed(endpoint) for endpoint in endpoints.values()}
    if as_json:
        found = [
            {"base_url": url, "models": [each["model"] for each in details], "details": details}
            for url, details in listed.items()
        ]
        click.echo(orjson.dumps(found[0] if len(found) == 1 else {"endpoints": found}).decode())
        return
    for url, details in listed.items():
        if len(listed) > 1:
            click.echo(f"{url}:")
        for line in model_lines(details):
            click.echo(line)


def _listed(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Return what is known of each model that an endpoint serves."""
    if (place := place_of(endpoint)) != endpoint.base_url:
        click.echo(f"note: the endpoint is {place}", err=True)
    names = asyncio.run(served_models(endpoint, functools.partial(click.echo, err=True)))
    return model_details(endpoint, names, date.today())
