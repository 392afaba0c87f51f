"""A job as the text of a job file, made from its sections: every setting that is not its default. Pure."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from batchrun.errors import JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import SECTIONS, Job
from batchrun.job.settings import Section, default_of, key_of

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def job_to_toml(job: Job, folder: str | Path = ".") -> str:
    """Return the text of a job file that runs the job.

    Args:
        job: the job.
        folder: where the file will be: the paths in it are relative to that.

    Raises:
        JobError: the job has a value that TOML cannot hold.
    """
    parts = ["\n".join(lines) for name in SECTIONS for lines in _tables(name, job, Path(folder))]
    for model, price in job.prices.items():
        parts.append("\n".join([f"[prices.{_key(model)}]", *_settings("prices", dict(_stated(price)))]))
    return "\n\n".join(parts) + "\n"


def _tables(name: str, job: Job, folder: Path) -> Iterator[list[str]]:
    """Yield the lines of a section; of the endpoints, if there are several, those of each."""
    if name == "endpoint" and job.has_several_endpoints:
        for key, each in job.endpoints.items():
            section = f"endpoints.{_key(key)}"
            yield [f"[{section}]", *_settings(section, _endpoint(each))]
    elif lines := _lines(name, job, folder):
        yield lines


def _lines(name: str, job: Job, folder: Path) -> list[str]:
    section: Section = getattr(job, name)
    stated = dict(_stated(section))
    if name == "input":
        stated = _input(stated, folder)
    if name == "endpoint":
        stated = _endpoint(job.endpoint)
    if name == "output":
        stated["dir"] = _relative(str(job.run_directory), folder)
    if name == "response" and "schema" in stated:
        stated["schema"] = json.dumps(stated["schema"], indent=2, ensure_ascii=False)  # TOML has no null
    if name == "model" and len(names := stated.get("names", ())) == 1:
        stated = {"name": names[0], **{key: value for key, value in stated.items() if key != "names"}}
    return [f"[{name}]", *_settings(name, stated)] if stated else []


def _stated(section: Section) -> Iterator[tuple[str, Any]]:
    """Yield the settings that differ from their defaults, by their names in the job file."""
    for each in fields(section):  # type: ignore[arg-type]  # every section is a dataclass
        value = getattr(section, each.name)
        if value != default_of(each):
            is_duration = each.metadata["key"] is not None and isinstance(value, float)
            yield key_of(each), _duration(value) if is_duration else value


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """Return the settings of an endpoint: a list of models where all have the same name there as in the job."""
    stated = dict(_stated(endpoint))
    if endpoint.models is not None and all(name == there for name, there in endpoint.models.items()):
        stated["models"] = list(endpoint.models)
    if endpoint.prices:
        stated["prices"] = {model: dict(_stated(price)) for model, price in endpoint.prices.items()}
    return stated


def _input(stated: dict[str, Any], folder: Path) -> dict[str, Any]:
    if "reuse" in stated:
        stated = {**stated, "reuse": [_relative(path, folder) for path in stated["reuse"]]}
    if "run" in stated:  # its path is the same
        return {
            **{key: value for key, value in stated.items() if key != "path"},
            "run": _relative(stated["run"], folder),
        }
    paths = [_relative(path, folder) for path in stated.get("path", ())]
    return {**stated, "path": paths[0] if len(paths) == 1 else paths}


def _settings(name: str, stated: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value, f'{name}.{key}')}" for key, value in stated.items()]


def _relative(path: str, folder: Path) -> str:
    """Return a path as a file in a folder names it."""
    if path == "-" or "://" in path or Path(path).is_absolute():
        return path
    return os.path.relpath(path, folder)


def _duration(seconds: float) -> str:
    whole, parts = round(seconds), []
    if whole != seconds:
        return f"{seconds}s"
    for unit, size in _UNITS:
        count, whole = divmod(whole, size)
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _text(value: str) -> str:
    if "\n" in value.strip("\n") and "'''" not in value and _is_plain(value):
        return f"'''\n{value}'''"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_plain(value: str) -> bool:
    return all(letter in "\n\t" or letter.isprintable() for letter in value)


def _value(value: Any, where: str) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float) and abs(value) < float("inf"):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(key))} = {_value(each, f'{where}.{key}')}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple) and value and all(isinstance(each, Mapping) for each in value):
        lines = "".join(f"    {_value(each, f'{where}[{number}]')},\n" for number, each in enumerate(value))
        return f"[\n{lines}]"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each, f'{where}[{number}]') for number, each in enumerate(value))}]"
    raise JobError(f"{where} = {value!r}; a job file cannot hold it")
