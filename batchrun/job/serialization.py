"""A job as plain data, as run directories keep it, and back."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import SECTIONS, Job, Price
from batchrun.job.settings import Section, SettingError

S = TypeVar("S", bound=Section)


class UnknownSettingError(ValueError):
    """A stored job has a section, a setting or a value that this version does not know; the message names it."""


def job_to_dict(job: Job) -> dict[str, Any]:
    """Return a job as plain data, for JSON. A job never holds a secret."""
    data = dataclasses.asdict(job)
    del data["earlier_directory"], data["replaced_endpoints"]  # of the command, not of the run
    if not job.has_several_endpoints:
        del data["endpoints"]  # it is `endpoint`
    return data


def job_from_dict(data: Mapping[str, Any]) -> Job:
    """Return the job of which `job_to_dict` made the data, also after JSON has turned its tuples into lists.

    A setting that an older version did not know gets its default, and so does a project without its team, which older
    versions took.

    Raises:
        UnknownSettingError: a newer version wrote a section, a setting or a value that this one does not know.
    """
    if unknown := _unknown(data):
        raise UnknownSettingError(", ".join(unknown))
    endpoint = data.get("endpoint", {})
    if "/" not in (endpoint.get("project") or ""):
        data = {**data, "endpoint": {**endpoint, "project": None}}
    try:
        sections: dict[str, Any] = {name: _section(kind, data.get(name, {})) for name, kind in SECTIONS.items()}
        sections["endpoints"] = {name: _section(Endpoint, each) for name, each in data.get("endpoints", {}).items()}
        if sections["endpoints"]:
            del sections["endpoint"]  # the first of them
        prices = {model: Price(**price) for model, price in data["prices"].items()}
        return Job(name=data["name"], prices=prices, by_flag=tuple(data.get("by_flag", ())), **sections)
    except SettingError as problem:
        raise UnknownSettingError(f"{problem.key} = {problem.value!r}") from problem


def _section(kind: type[S], stored: Mapping[str, Any]) -> S:
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()})


def _unknown(data: Mapping[str, Any]) -> list[str]:
    """Return the sections and settings of a stored job that this version does not know."""
    known = {field.name for field in dataclasses.fields(Job)}
    parts: dict[str, tuple[Any, Any]] = {name: (data.get(name, {}), kind) for name, kind in SECTIONS.items()}
    parts |= {f"endpoints.{name}": (each, Endpoint) for name, each in data.get("endpoints", {}).items()}
    parts |= {f'prices."{model}"': (price, Price) for model, price in data.get("prices", {}).items()}
    return [name for name in data if name not in known] + [
        f"{name}.{key}"
        for name, (part, kind) in parts.items()
        for key in sorted(part.keys() - {field.name for field in dataclasses.fields(kind)})
    ]
