"""Which endpoints have answered rows of a run directory: their base URLs identify where its answers come from."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Known
from batchrun.job.sections import Job


def earlier_endpoints(recorded: Known) -> list[str]:
    """Return the base URLs that have answered rows of this directory, the latest last; not the simulator's."""
    endpoints = recorded.fact(facts.ENDPOINTS)
    if endpoints is not None:
        return endpoints
    job = recorded.fact(facts.JOB)  # all that an older version recorded
    if job is None or recorded.fact(facts.SIMULATED):
        return []
    return [url] if isinstance(url := job.get("endpoint", {}).get("base_url"), str) else []


def answering_endpoints(recorded: Known) -> list[str]:
    """Return those of the earlier endpoints that have answered rows, as far as that is noted."""
    answered = recorded.fact(facts.ANSWERED)
    earlier = earlier_endpoints(recorded)
    if answered is None:
        return earlier
    urls = {identity.partition("#")[0] for identity in answered}
    return [url for url in earlier if url in urls]


def named_endpoints(recorded: Known) -> dict[str, list[Any]]:
    """Return base URL and table of models of each endpoint by its name, all that it has had in this run."""
    named = recorded.fact(facts.NAMED)
    if named is not None:
        return named
    job: dict[str, Any] = recorded.fact(facts.JOB) or {}  # all that an older version recorded
    named = {name: [[each.get("base_url"), each.get("models")]] for name, each in (job.get("endpoints") or {}).items()}
    models = (job.get("endpoint") or {}).get("models")
    unnamed = recorded.fact(facts.UNNAMED)
    return named | {"": [[url, models] for url in (earlier_endpoints(recorded) if unnamed is None else unnamed)]}


def with_named(named: Mapping[str, list[Any]], job: Job) -> dict[str, list[Any]]:
    """Return what `named_endpoints` does, with the endpoints of a job added."""
    added = {name: [each.base_url, each.models] for name, each in job.endpoints.items()}
    return {**named} | {
        name: [*(each for each in named.get(name, []) if each != its), its] for name, its in added.items()
    }


def had(named: Mapping[str, list[Any]], endpoint: str, model: str) -> list[tuple[str, str]]:
    """Return the base URLs at which an endpoint may have answered a model of the job, with the model's name there."""
    return [
        (url or "", models[model] if models else model)
        for url, models in named.get(endpoint, ())
        if not models or model in models
    ]


SIMULATOR = "simulator"
"""What stands for the host where the simulator answered."""


def only_endpoint(recorded: Known) -> str | None:
    """Return the host of the endpoint whose answers have no endpoint's name; None where there were several.

    These are the answers of executions whose job had one endpoint, without a name.
    """
    if recorded.fact(facts.SIMULATED):
        return SIMULATOR
    urls = recorded.fact(facts.UNNAMED)
    hosts = {urlsplit(url).netloc.rpartition("@")[2] for url in (earlier_endpoints(recorded) if urls is None else urls)}
    return hosts.pop() if len(hosts) == 1 else None


def is_same_endpoint(one: str, other: str) -> bool:
    """Return whether two base URLs name the same endpoint: a port that is the scheme's own changes nothing."""
    return _parts(one) == _parts(other)


def _parts(url: str) -> tuple[str, str | None, int | None, str]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def is_among(url: str, urls: Iterable[str]) -> bool:
    """Return whether a base URL names one of these endpoints."""
    return any(is_same_endpoint(url, other) for other in urls)


def base_urls(job: Job) -> list[str]:
    """Return the base URLs of a job's endpoints, each once."""
    return list(dict.fromkeys(endpoint.base_url for endpoint in job.endpoints.values()))


def is_known_endpoint(recorded: Known, job: Job) -> bool:
    """Return whether one of the job's endpoints has answered rows of this directory, or no endpoint has.

    Endpoints that are added to a known one, or removed next to it, are the same job's.
    """
    earlier = earlier_endpoints(recorded)
    return not earlier or any(is_among(url, earlier) for url in base_urls(job))
