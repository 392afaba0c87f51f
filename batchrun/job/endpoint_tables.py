"""The endpoints of a job file and of flags: `[endpoint]`, replicas of it, or each `[endpoints.NAME]`."""

import os
from collections.abc import Mapping
from typing import Any

from batchrun.errors import JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.entries import Entries, entries_of, section_of, shown_value
from batchrun.job.names import Overrides
from batchrun.job.serving import replica_names
from batchrun.job.settings import BASE_URL_VARIABLE, SettingError

_FOR_EACH = ("allow_http",)
"""Flags that hold for each of several endpoints. A key or a project is of one of them."""


def endpoints_of(tables: Mapping[str, Any], overrides: Overrides, where: str) -> dict[str, Endpoint]:
    """Return the endpoints by name; the name of an only one is empty.

    Args:
        tables: the job file.
        overrides: flags; a base URL among them replaces all endpoints of the job file.
        where: the job file, in messages.

    Raises:
        JobError: a setting is unknown or has a wrong value, or two of them do not fit together.
    """
    flags = {key: entry for (section, key), entry in overrides.items() if section == "endpoint"}
    several: dict[str, tuple[str, Any]] = entries_of(tables.get("endpoints", {}), "endpoints", where)
    several |= {name: entry for (section, name), entry in overrides.items() if section == "endpoints"}
    if "endpoints" in tables and "endpoint" in tables:
        raise JobError(f"{where}: [endpoint] and [endpoints] are both set; make it [endpoints.NAME] too")
    if several and "base_url" not in flags:
        return {name: _named(name, *entry, flags, where) for name, entry in several.items()}
    if "endpoints" in tables and "base_url" not in flags:
        raise JobError(
            f"{where}: [endpoints] names no endpoint; add [endpoints.NAME] with a base_url or a provider, or remove "
            "it: without it the job goes to the endpoint of [endpoint], by default W&B Inference"
        )
    return _replicas(_with_variable(entries_of(tables.get("endpoint", {}), "endpoint", where) | flags), where)


def replaced_by(endpoints: Mapping[str, Endpoint], tables: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the endpoints of a job file in whose place others stand: those of a flag.

    Args:
        endpoints: what `endpoints_of` returned.
        tables: the job file.
    """
    return () if {*tables.get("endpoints", {})} <= {*endpoints} else tuple(tables["endpoints"])


def _named(name: str, origin: str, value: Any, flags: Entries, where: str) -> Endpoint:
    for key, (flag, _) in flags.items():
        if key not in _FOR_EACH:
            raise JobError(f"{flag}: the job has several endpoints; set {key} in [endpoints.NAME]")
    if isinstance(value, Endpoint):
        return value
    if not isinstance(value, Mapping):
        raise JobError(f"{origin} = {shown_value(value)}; must be a table: [endpoints.NAME]")
    entries = {key: (f"{origin}.{key}", each) for key, each in value.items()} | flags
    if not {"base_url", "provider"} & entries.keys():
        raise JobError(f"{origin}: must have a base_url or a provider")
    return section_of(Endpoint, f"endpoints.{name}", entries, where)


def _replicas(entries: Entries, where: str) -> dict[str, Endpoint]:
    """Return one endpoint, or one for each of several base URLs, which have all other settings in common."""
    origin, urls = entries.get("base_url", ("", None))
    if not isinstance(urls, list | tuple) or not urls or not all(isinstance(url, str) for url in urls):
        return {"": section_of(Endpoint, "endpoint", entries, where)}
    try:
        names = replica_names(urls)
    except SettingError as problem:
        raise JobError(f"{origin} = {shown_value(problem.value)}; {problem.must}") from None
    found = {
        name: section_of(Endpoint, "endpoint", entries | {"base_url": (origin, url)}, where)
        for name, url in names.items()
    }
    return found if len(found) > 1 else dict(zip([""], found.values(), strict=True))


def _with_variable(entries: Entries) -> Entries:
    """Return the entries of `[endpoint]`; where they name neither a base URL nor W&B, the environment's base URL."""
    base_url = os.environ.get(BASE_URL_VARIABLE, "").strip()
    is_named = "base_url" in entries or entries.get("provider", ("", None))[1] == "wandb"
    return entries if is_named or not base_url else entries | {"base_url": (BASE_URL_VARIABLE, base_url)}
