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
from batchrun.errors import BatchrunError
from batchrun.job.endpoint import Endpoint
from batchrun.job.file import job_for


@click.command("models")
@job_flags("Endpoint")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")
def models_command(as_json: bool, **flags: Any) -> int:
    """List the models that the endpoint serves, with price, context window and end of life where these are known.

    Without --base-url, the endpoint is the one in OPENAI_BASE_URL, else W&B Inference (CoreWeave Forge).

    \b
    batchrun models
    batchrun models --base-url http://127.0.0.1:8000/v1

    \b
    Exit codes: 4 an endpoint refuses, or does not answer, 5 it cannot answer now; the others are listed anyway.
    """
    endpoints = job_for(["-"], overrides_of(flags)).endpoints.values()
    if len(endpoints) == 1:
        (endpoint,) = endpoints
        found = _listed(endpoint)
        _print(orjson.dumps(found).decode() if as_json else "\n".join(model_lines(found["details"])))
        return 0
    exit_code, all_found = 0, []
    for endpoint in endpoints:
        try:
            found = {**_listed(endpoint), "message": ""}
        except BatchrunError as problem:
            exit_code = max(exit_code, problem.exit_code)
            found = {"base_url": endpoint.base_url, "models": [], "details": [], "message": str(problem)}
            click.echo(f"batchrun: {problem}", err=True)
        all_found.append(found)
        if not as_json and not found["message"]:
            _print("\n".join([f"{endpoint.base_url}:", *model_lines(found["details"])]))
    if as_json:
        _print(orjson.dumps({"exit_code": exit_code, "endpoints": all_found}).decode())
    return exit_code


def _print(text: str) -> None:
    if text:
        click.echo(text)


def _listed(endpoint: Endpoint) -> dict[str, Any]:
    """Return what is known of each model that an endpoint serves, as JSON has it."""
    if (place := place_of(endpoint)) != endpoint.base_url:
        click.echo(f"note: the endpoint is {place}", err=True)
    names = asyncio.run(served_models(endpoint, functools.partial(click.echo, err=True)))
    details = model_details(endpoint, names, date.today())
    return {"base_url": endpoint.base_url, "models": [each["model"] for each in details], "details": details}
