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
    endpoint = job_for(["-"], overrides_of(flags)).endpoint
    if (place := place_of(endpoint)) != endpoint.base_url:
        click.echo(f"note: the endpoint is {place}", err=True)
    names = asyncio.run(served_models(endpoint, functools.partial(click.echo, err=True)))
    details = model_details(endpoint, names, date.today())
    if as_json:
        click.echo(orjson.dumps({"base_url": endpoint.base_url, "models": names, "details": details}).decode())
    else:
        for line in model_lines(details):
            click.echo(line)
