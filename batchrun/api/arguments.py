"""The arguments of a call in Python → a job. Settings have the names of the job file, and need no section."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from batchrun.answers.schema import AnswerSchema
from batchrun.errors import JobError
from batchrun.job.endpoint import OF_THE_WHOLE
from batchrun.job.entries import BODY_KEYS, section_of
from batchrun.job.file import job_for
from batchrun.job.sections import SECTIONS, Job, Price
from batchrun.job.settings import Section, default_of, key_of
from batchrun.job.suggestions import meant

_FLAT = ("input", "prompt", "model", "endpoint", "limits", "output", "response", "evaluate", "publish")
"""Sections whose settings may be given by their name alone; others are given as a whole: `judge={…}`."""

_OWN = {
    ("input", "path"): "data",
    ("input", "run"): "data",
    ("prompt", "user"): "prompt",
    ("model", "names"): "model",
    ("response", "schema"): "schema",
    ("output", "dir"): "out",
}
"""Settings that are parameters under another name."""

_WITHIN_ENDPOINT = (*OF_THE_WHOLE, "models")
"""Settings of an endpoint that are given within it: by their name alone they would mean the whole job's."""

_SAME = {
    ("input", "run"): ("input", "path"),
    ("prompt", "messages"): ("prompt", "user"),
    ("model", "name"): ("model", "names"),
}
"""Setting → the one that says the same in another way: a job has one of the two."""

_EXTRA_KEYS = ("top_k", "min_p", "repetition_penalty", "service_tier")
"""More keys of the body that many endpoints take. Source: OpenAI's reference, vLLM's extra parameters."""

_AFTER_RUN = ("then",)
"""What only the command line has."""

Settings = dict[tuple[str, str], tuple[str, Any]]
"""(section, key) → (the argument as written, its value)."""


def flat_settings() -> dict[str, str]:
    """Return each setting that can be given by its name alone → its section."""
    return {key: sections[0] for key, sections in _sections_of().items() if len(sections) == 1}


def arguments_of_settings() -> dict[str, str]:
    """Return each setting, as `section.key` → the argument of a call that sets it."""
    own = {f"{section}.{key}": argument for (section, key), argument in _OWN.items()}
    return own | {"model.name": "model"} | {f"{section}.{key}": key for key, section in flat_settings().items()}


def settings_text() -> str:
    """Return a line of documentation for each setting that can be given by its name."""
    lines = []
    for key, section in flat_settings().items():
        each = next(each for each in fields(SECTIONS[section]) if key_of(each) == key)  # type: ignore[arg-type]  # as below
        lines.append(f"        {key}: {each.metadata['doc']}\n")
    return "".join(lines)


def body_keys() -> tuple[str, ...]:
    """Return the keys of the request's body that can be given by their name, next to the settings."""
    return (*BODY_KEYS, *_EXTRA_KEYS)


def whole_sections() -> dict[str, type[Section]]:
    """Return the sections that can be given as a whole: as an object or as a dict of settings."""
    return {name: kind for name, kind in SECTIONS.items() if name not in ("prompt", "model")}


def job_for_call(paths: tuple[str, ...], directory: Path, arguments: Mapping[str, Any]) -> Job:
    """Return the job of a call.

    Args:
        paths: of the input.
        directory: of the run.
        arguments: `prompt`, `model`, `schema` and the settings; None means not given.

    Raises:
        JobError: an argument is unknown, or has a wrong value.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    prices = given.pop("prices", {})
    settings: Settings = {("output", "dir"): ("out", str(directory))}
    flat = flat_settings()
    for name in sorted(given, key=lambda name: name in flat):  # a setting by its name beats one in a section
        found = _settings_of(name, given[name], flat)
        _refuse_second(settings, found)
        settings |= found
    job = job_for(paths, settings)
    _refuse_useless(job, settings, given)
    name = directory.name or directory.resolve().name or job.name
    return dataclasses.replace(job, name=name, prices=_prices(prices), by_flag=())


def _refuse_second(earlier: Settings, found: Settings) -> None:
    """Refuse a second value for what an argument sets already; raises `JobError`."""
    taken = {_SAME.get(setting, setting): (setting, name) for setting, (name, _) in earlier.items()}
    taken[("input", "path")] = (("input", "path"), "data")
    for setting, (name, _) in found.items():
        place = _SAME.get(setting, setting)
        if place in taken and (setting in _OWN or taken[place][0] != setting):
            raise JobError(f"{_written(taken[place][1])} and {_written(name)} are both set; keep one of them")
        taken[place] = (setting, name)


def _written(name: str) -> str:
    """Return an argument as a call has it: `output={"dir": …}` for a setting within a section."""
    section, _, key = name.partition(".")
    return f'{section}={{"{key}": …}}' if key else name


def _refuse_useless(job: Job, settings: Settings, given: Mapping[str, Any]) -> None:
    """Refuse a judge without a model, and a scorer that has nothing to compare answers with; raises `JobError`."""
    if "judge" in given and job.judge.model is None:
        raise JobError('judge.model = ""; must name the model that judges')
    for key in ("scorer", "pattern", "field"):
        stated = settings.get(("evaluate", key))
        if stated is not None and stated[1] is not None and job.evaluate.target is None:
            cure = 'nothing to compare answers with; pass target="COLUMN"'
            raise JobError(f"{stated[0]} = {stated[1]!r}: has {cure}")


def _settings_of(name: str, value: Any, flat: Mapping[str, str]) -> Settings:
    if name == "schema":
        return {("response", "schema"): (name, schema_of(value))}
    if name in ("prompt", "model") and not isinstance(value, Mapping | Section):
        key = "user" if name == "prompt" else "names"
        return {(name, key): (name, value)}
    if name == "endpoints":
        return _endpoints(value)
    if name in SECTIONS:
        return _whole(name, value)
    if name in flat:
        return {(flat[name], name): (name, _text(value))}
    if name in body_keys():
        return {("model", name): (name, value)}
    raise JobError(_unknown(name))


def _whole(name: str, value: Any) -> Settings:
    """Return the settings of a section that is given as a whole."""
    if isinstance(value, Section):
        if not isinstance(value, SECTIONS[name]):
            raise JobError(f"{name} is a {type(value).__name__}; must be a {SECTIONS[name].__name__}, or a dict")
        assert is_dataclass(value)
        stated = {
            each.name: (key_of(each), getattr(value, each.name))
            for each in fields(value)
            if getattr(value, each.name) != default_of(each)
        }
        return {(name, key): (f"{name}.{key}", setting) for key, setting in stated.values()}
    if not isinstance(value, Mapping):
        raise JobError(f"{name} = {value!r}; must be a {SECTIONS[name].__name__}, or a dict of its settings")
    return {(name, str(key)): (f"{name}.{key}", _text(each)) for key, each in value.items()}


def _endpoints(value: Any) -> Settings:
    """Return the endpoints by name."""
    if not isinstance(value, Mapping) or not value:
        must = 'must be a dict: {"NAME": batchrun.Endpoint(base_url=…)}'
        raise JobError(f"endpoints = {value!r}; {must}")
    return {("endpoints", str(name)): (f"endpoints.{name}", each) for name, each in value.items()}


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def schema_of(schema: Any) -> Any:
    """Return a schema as a job has it: a dict, or the path of a file; of a pydantic model its JSON Schema."""
    if hasattr(schema, "model_json_schema"):
        return schema.model_json_schema()
    if isinstance(schema, type) or not isinstance(schema, Mapping | str | Path):
        shown = getattr(schema, "__name__", repr(schema))
        raise JobError(f"schema = {shown}; must be a JSON Schema (dict), a path, or a pydantic model class")
    return _text(schema)


def answer_schema(schema: Any) -> AnswerSchema:
    """Return what reads answers by a schema: a dict, the path of a file, or a pydantic model class.

    Raises:
        JobError: the file cannot be read, or it is not a schema.
    """
    job = job_for(("-",), {("response", "schema"): ("schema", schema_of(schema))})
    assert job.response.schema is not None
    return AnswerSchema(job.response.schema)


def _prices(prices: Any) -> dict[str, Price]:
    form = 'must be a dict: {"MODEL": {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.3}}'
    if not isinstance(prices, Mapping):
        raise JobError(f"prices = {prices!r}; {form}")
    made = {}
    for model, price in prices.items():
        if not isinstance(price, Price | Mapping):
            raise JobError(f"prices = {dict(prices)!r}; {form}")
        name = f'prices["{model}"]'
        entries = {} if isinstance(price, Price) else {key: (f"{name}.{key}", each) for key, each in price.items()}
        made[model] = price if isinstance(price, Price) else section_of(Price, name, entries, name)
    return made


def _sections_of() -> dict[str, list[str]]:
    """Return each setting → the sections that have it, of those whose settings need no section."""
    found: dict[str, list[str]] = {}
    for section in _FLAT:
        for each in fields(SECTIONS[section]):  # type: ignore[arg-type]  # sections are dataclasses
            if (section, key_of(each)) not in _OWN and not (section == "endpoint" and each.name in _WITHIN_ENDPOINT):
                found.setdefault(key_of(each), []).append(section)
    return found


def _unknown(name: str) -> str:
    if len(sections := _sections_of().get(name, [])) > 1:
        cures = " or ".join(f'{section}={{"{name}": …}}' for section in sections)
        return f"{name} is a setting of several sections; write {cures}"
    if name in _AFTER_RUN:
        return f"{name} is unknown; do it in Python, after the call: it returns when the run has ended"
    own = {key: parameter for (_, key), parameter in _OWN.items()}
    if name in own:
        return f"{name} is unknown; did you mean {own[name]}?"
    escape = f'to send it to the endpoint unchanged: extra_body={{"{name}": …}}'
    if setting := meant(name):
        section, _, key = setting.partition(".")
        return f"{name} is unknown; did you mean {_OWN.get((section, key), key)}? ({escape})"
    known = [*_OWN.values(), *flat_settings(), *whole_sections(), "endpoints", *body_keys(), *RUN_KEYS]
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name} is unknown; did you mean {close[0]}? ({escape})" if close else f"{name} is unknown; {escape}"


RUN_KEYS = ("simulate", "restart", "retry_failed", "agree", "progress", "scorer")
"""Arguments that are not settings of the job: how it is run."""
