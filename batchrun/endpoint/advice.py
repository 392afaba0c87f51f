"""What the user can do about a refusal, for one endpoint: the cures of the verdict table with names and URLs."""

import os
from collections.abc import Iterable, Mapping
from datetime import date

from batchrun.endpoint.key import key_place, key_variable
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.job.catalogue import retirement_of, retirement_text
from batchrun.job.endpoint import BASE_URLS, Endpoint
from batchrun.job.settings import BASE_URL_VARIABLE


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
    is_wandb = endpoint.provider == "wandb"
    no_key = f"no key was sent; set {key_variable(endpoint)} (any value for servers that need none)"
    if kind == "unauthorized" and not has_key:
        return f"{no_key}; {again}"
    if kind == "unauthorized":
        project = " and the team/project (--project)" if is_wandb else ""
        return f"check the key in {key_place(endpoint)}{project}; {again}"
    if kind == "forbidden" and not has_key:
        return f"{no_key}, or check the base URL; {again}"
    if kind == "forbidden" and not is_wandb:
        place = key_place(endpoint)
        return f"check what the key in {place} may use, that you are served in your region, and the base URL; {again}"
    if kind == "account_unsupported" and not is_wandb:
        return f"use another account than that of the key in {key_place(endpoint)}; {again}"
    if kind == "model_not_found" and lists_models:
        return "check the base URL"
    if kind == "model_not_found":
        end = retirement_text(model, date.today()) if is_wandb else ""
        return f"it {end}; {list_cure(endpoint)}" if end else list_cure(endpoint)
    return EFFECTS[kind].cure


def unheard_cure(endpoint: Endpoint, patience_s: float | None) -> str:
    """Return what can be done when an endpoint has never replied; `patience_s` is None where none was given."""
    is_known = endpoint.base_url in BASE_URLS.values()
    cure = "is this machine connected to the network?" if is_known else "is this URL right?"
    if patience_s is None and not is_known:
        cure += " A server that is still starting needs more time: --patience 1h"
    elif patience_s is None:
        cure += " To wait longer: --patience 12h"
    return cure


def place_of(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> str:
    """Return the base URL, and the variable that names it, if one does."""
    is_from_variable = environ.get(BASE_URL_VARIABLE, "").strip().rstrip("/") == endpoint.base_url
    return f"{endpoint.base_url} (from {BASE_URL_VARIABLE})" if is_from_variable else endpoint.base_url


def without_successor(models: Iterable[str], endpoint: Endpoint) -> list[str]:
    """Return the models for which the advice does not already name the one that replaces them."""
    if endpoint.provider != "wandb":
        return list(models)
    ends = ((model, retirement_of(model, date.today())) for model in models)
    return [model for model, end in ends if end is None or end.replaced_by is None]


def list_cure(endpoint: Endpoint) -> str:
    """Return how to see the models that this endpoint serves."""
    return f"`{models_command(endpoint)}` lists what the endpoint serves"


def models_command(endpoint: Endpoint) -> str:
    """Return the command that lists what this endpoint serves."""
    parts = ["batchrun models"]
    if endpoint.provider != "wandb" or endpoint.base_url not in BASE_URLS.values():
        parts.append(f"--base-url {endpoint.base_url}")
    if endpoint.api_key_env:
        parts.append(f"--api-key-env {endpoint.api_key_env}")
    if endpoint.allow_http:
        parts.append("--allow-http")
    return " ".join(parts)
