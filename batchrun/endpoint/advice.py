"""What the user can do about a refusal, for one endpoint: the cures of the verdict table with names and URLs."""

from datetime import date

from batchrun.endpoint.key import key_variable
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.job.catalogue import retirement_text
from batchrun.job.sections import Endpoint


def cure_for(kind: str, endpoint: Endpoint, *, has_key: bool, lists_models: bool = False, model: str = "") -> str:
    """Return what can be done about a verdict of this kind; empty if nothing.

    Args:
        kind: a key of `EFFECTS`.
        endpoint: that gave the reply.
        has_key: whether a key was sent.
        lists_models: whether the models were asked for: then asking for them again does not help.
        model: that was asked.
    """
    again = "then run the same command again"
    if kind == "unauthorized" and not has_key:
        return f"no key was sent; set {key_variable(endpoint)} (any value for servers that need none); {again}"
    if kind == "unauthorized":
        project = " and the team/project (--project)" if endpoint.provider == "wandb" else ""
        return f"check the key in {_key_place(endpoint)}{project}; {again}"
    if kind == "model_not_found" and lists_models:
        return f"{_without_version(endpoint)}check the base URL"
    if kind == "model_not_found":
        end = retirement_text(model, date.today()) if endpoint.provider == "wandb" else ""
        ended = f"it {end}; " if end else ""
        return f"{ended}{_without_version(endpoint)}`{models_command(endpoint)}` lists what the endpoint serves"
    return EFFECTS[kind].cure


def with_cure(message: str, kind: str, endpoint: Endpoint, *, has_key: bool) -> str:
    """Return a message that ends in the table's cure with the cure for this endpoint instead."""
    table = EFFECTS[kind].cure if kind in EFFECTS else ""
    if not table or not message.endswith(table):
        return message
    model = message.partition(": ")[0]  # a refusal of a model begins with its name
    return message.removesuffix(table) + cure_for(kind, endpoint, has_key=has_key, model=model)


def models_command(endpoint: Endpoint) -> str:
    """Return the command that lists what this endpoint serves."""
    parts = ["batchrun models"]
    if endpoint.provider != "wandb":
        parts.append(f"--base-url {endpoint.base_url}")
    if endpoint.api_key_env:
        parts.append(f"--api-key-env {endpoint.api_key_env}")
    return " ".join(parts)


def _key_place(endpoint: Endpoint) -> str:
    variable = key_variable(endpoint)
    return f"{variable} or ~/.netrc" if endpoint.provider == "wandb" and not endpoint.api_key_env else variable


def _without_version(endpoint: Endpoint) -> str:
    """Return the cure for a base URL that does not end in a version, as nearly all do."""
    last = endpoint.base_url.rstrip("/").rpartition("/")[2]
    if last[:1] == "v" and last[1:2].isdigit():
        return ""
    return f"a base URL usually ends in /v1: try --base-url {endpoint.base_url.rstrip('/')}/v1; "
