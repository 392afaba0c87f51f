"""What a job that is sent in batches cannot have. Pure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchrun.job.batch_providers import batch_provider, other_api
from batchrun.job.endpoint import BATCH, REQUESTS
from batchrun.job.settings import SettingError

if TYPE_CHECKING:
    from batchrun.job.names import Overrides
    from batchrun.job.sections import Job


def as_flagged(tables: Mapping[str, Any], overrides: "Overrides") -> Mapping[str, Any]:
    """Return a job file without what only batches have, where a flag has its requests sent one by one.

    Args:
        tables: the job file.
        overrides: flags.
    """
    endpoint, limits = tables.get("endpoint"), tables.get("limits")
    if overrides.get(("endpoint", "via"), ("", BATCH))[1] != REQUESTS or not isinstance(endpoint, Mapping):
        return tables
    if endpoint.get("via") != BATCH:
        return tables
    tables = {**tables, "endpoint": {key: value for key, value in endpoint.items() if key != "batch_requests"}}
    if isinstance(limits, Mapping):
        tables["limits"] = {key: value for key, value in limits.items() if key != "rest_by"}
    return tables


def check_via(job: "Job") -> None:
    """Refuse what cannot be sent in batches, and what only batches have.

    Raises:
        SettingError: the job has it.
    """
    ways = {endpoint.via for endpoint in job.endpoints.values()}
    if BATCH not in ways:
        stated = next((each.batch_requests for each in job.endpoints.values() if each.batch_requests), None)
        if stated is not None:
            raise SettingError("endpoint.batch_requests", stated, _NEEDS_BATCH)
        if job.limits.rest_by is not None:
            raise SettingError("limits.rest_by", job.limits.rest_by, _NEEDS_BATCH)
        return
    if len(job.endpoints) > 1:
        raise SettingError("endpoint.via", BATCH, "must be requests where there are several endpoints")
    if (name := other_api(job.endpoint.base_url)) is not None:
        must = f"must be requests (leave out --via batch): {name} has batches, but not by OpenAI's API"
        raise SettingError("endpoint.via", BATCH, must)
    kinds = batch_provider(job.endpoint.base_url).kinds
    unfit = {
        "engine.kind": (job.engine.kind, job.engine.kind != "local"),
        "model.stream": (job.model.stream, bool(job.model.stream)),
        "model.fallback": (dict(job.model.fallback), bool(job.model.fallback)),
        "model.kind": (job.model.kind, job.model.kind is not None and job.model.kind not in kinds),
        "model.rows_per_request": (job.model.rows_per_request, job.model.rows_per_request > 1),
        "model.samples_per_request": (job.model.samples_per_request, job.model.samples_per_request > 1),
    }
    for key, (value, is_stated) in unfit.items():
        if is_stated:
            raise SettingError(key, value, "cannot be sent in a batch; leave it out, or leave out --via batch")


_NEEDS_BATCH = 'needs via = "batch" (--via batch)'
