"""Job file (TOML) and flags → `Job`. Every message names the place, the key, the value and the cure."""

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from batchrun.errors import JobError
from batchrun.job.endpoint_tables import endpoints_of, replaced_by
from batchrun.job.engine import OF_RAY
from batchrun.job.entries import Entries, entries_of, section_of, shown_value
from batchrun.job.names import Overrides as Overrides
from batchrun.job.names import check_names
from batchrun.job.sections import NEXT, SECTIONS, Job, Model, Price, default_directory
from batchrun.job.serving import check_prices
from batchrun.job.settings import SettingError, key_of, texts
from batchrun.job.suggestions import nearest
from batchrun.job.via import as_flagged

STDIN = "-"

_ROW_MAY_STATE = frozenset(
    {
        "prompt.system",
        *(
            f"model.{name}"
            for name in ("temperature", "max_tokens", "top_p", "seed", "stop", "logprobs", "top_logprobs")
        ),
    }
)
"""Settings for which a row may have a value of its own. It beats the job file's, and a flag's value beats it."""

_FILES = {"prompt": "examples", "model": "tools", "response": "schema", "judge": "schema"}
"""Section → its setting that may be the name of a file of JSON."""

_JSON_LINES = (".jsonl", ".ndjson")


def load_job(path: str | Path, overrides: Overrides | None = None) -> Job:
    """Read a job file; flags replace its values.

    Args:
        path: the TOML file. The paths in it are relative to its folder, the run directory included.
        overrides: values that replace those of the file.

    Raises:
        JobError: the file is missing or not TOML, or a setting is unknown or has a wrong value.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise JobError(f"{path}: cannot be read: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise JobError(f"{path}: is not TOML: {problem}") from problem
    known = (*SECTIONS, "endpoints", "prices")
    for name, entries in tables.items():
        if name not in known:
            raise JobError(f"{path}: [{name}] is not a section{nearest(name, known)}")
        if not isinstance(entries, dict):
            raise JobError(f"{path}: {name} = {entries!r}; must be a section: [{name}]")
    if tables.get("judge") == {}:
        raise JobError(f'{path}: judge.model = ""; must name the model that judges')
    return _job(path.stem, tables, overrides or {}, where=str(path), folder=path.parent)


def job_for(paths: Iterable[str], overrides: Overrides | None = None) -> Job:
    """Return the job that runs input files without a job file, from flags only."""
    paths = list(paths)
    name = name_for(paths[0])
    if any(_is_same_place(default_directory(name), path) for path in paths):  # of a run that is the input
        name += NEXT
    return _job(name, {"input": {"path": paths}}, overrides or {}, where="the command line", folder=None)


def name_for(path: str) -> str:
    """Return the name of a job that runs an input without a job file."""
    if path == STDIN:
        return "stdin"
    path = path.partition("?")[0]  # the query of a URL may hold a signature
    return Path(path.rstrip("/")).name.split(".")[0].strip("*?[]") or "batch"


def _job(name: str, tables: Mapping[str, Any], overrides: Overrides, *, where: str, folder: Path | None) -> Job:
    tables, sections = as_flagged(tables, overrides), dict[str, Any]()
    earlier: tuple[str, str] | None = None
    for section, kind in SECTIONS.items():
        entries = entries_of(tables.get(section, {}), section, where)
        for (its_section, key), override in overrides.items():
            if its_section == section:
                entries.pop("name" if key == "names" else key, None)
                entries[key] = override
        if section == "output" and folder is not None and ("output", "dir") not in overrides:
            entries, earlier = _with_directory(folder, name, entries)
        if section != "endpoint":
            sections[section] = section_of(kind, section, _with_files(section, entries, overrides, folder), where)
    endpoints = endpoints_of(tables, overrides, where)
    sections |= {"endpoint": endpoints[""]} if "" in endpoints else {"endpoints": endpoints}
    by_flag = tuple(sorted(f"{section}.{key}" for section, key in overrides if _may_row_state(section, key)))
    prices = _prices(tables.get("prices", {}), where)
    try:
        replaced = replaced_by(endpoints, tables)
        job = Job(
            name=name,
            earlier_directory=earlier,
            replaced_endpoints=replaced,
            prices=prices,
            by_flag=by_flag,
            **sections,
        )
        check_prices(job.endpoints)
    except SettingError as problem:
        raise JobError(f"{where}: {problem.key} = {shown_value(problem.value)}; {problem.must}") from None
    if not job.input.path:
        raise JobError(f"{where}: input.path is missing; name a file, a glob, a folder, or - for standard input")
    check_names(job, where, overrides)
    return job


def _with_files(section: str, entries: Entries, overrides: Overrides, folder: Path | None) -> Entries:
    """Return the entries of a section with what the files hold that they name, and without what a flag replaces."""
    if section == "input" and folder is not None:
        names = [name for name in ("path", "reuse") if (section, name) not in overrides]
        return _with_run(folder, entries, names) if "path" in names else _relative_to(folder, entries, names)
    if section == "prompt" and ("prompt", "user") in overrides:
        entries.pop("messages", None)
    if section == "engine" and overrides.get(("engine", "kind"), ("", None))[1] == "local":
        unused = [name for name in OF_RAY if (section, name) not in overrides]
        return {name: entry for name, entry in entries.items() if name not in unused}
    if section in _FILES:
        is_by_flag = (section, _FILES[section]) in overrides
        return _with_file(folder if folder and not is_by_flag else Path(), entries, _FILES[section])
    return entries


def _may_row_state(section: str, key: str) -> bool:
    """Return whether a row may have a value of its own for a setting, or for another key of the body."""
    is_setting = section != "model" or key in {key_of(each) for each in fields(Model)}
    return f"{section}.{key}" in _ROW_MAY_STATE or not is_setting


def _prices(tables: Mapping[str, Any], where: str) -> dict[str, Price]:
    prices = {}
    for model, table in tables.items():
        section = f'prices."{model}"'
        if not isinstance(table, dict):
            must = "must be a table with input_usd_per_mtok and output_usd_per_mtok"
            raise JobError(f"{where}: {section} = {table!r}; {must}")
        prices[model] = section_of(Price, section, entries_of(table, section, where), where)
    return prices


def _with_run(folder: Path, entries: Entries, names: Iterable[str]) -> Entries:
    """Return the entries of `[input]` with its paths made relative to the folder of the job file, and `run` as one."""
    origin, run = entries.get("run", ("", None))
    if "path" in entries and run is not None and entries["path"][1] not in (run, [run]):
        raise JobError(f"{origin}: both path and run are set; keep one of them")
    if isinstance(run, str) and run:
        left = {name: entry for name, entry in entries.items() if name != "path"}
        entries = left | {"run": (origin, str(folder / run))}
    return _relative_to(folder, entries, names)


def _relative_to(folder: Path, entries: Entries, names: Iterable[str]) -> Entries:
    """Return the entries of `[input]` with the paths of these settings made relative to the folder of the job file."""
    for name in names:
        if name in entries:
            origin, value = entries[name]
            try:
                paths = texts(value)
            except ValueError as problem:
                raise JobError(f"{origin} = {shown_value(value)}; {problem}") from None
            joined = [each if each == STDIN or "://" in each else str(folder / each) for each in paths]
            entries = entries | {name: (origin, joined)}
    return entries


def _with_directory(folder: Path, name: str, entries: Entries) -> tuple[Entries, tuple[str, str] | None]:
    """Return the entries of `[output]` with a run directory relative to the job file, and `Job.earlier_directory`."""
    origin, value = entries.get("dir", ("", default_directory(name)))
    if not isinstance(value, str) or not value:
        return entries, None  # the section's own check refuses it
    joined = str(folder / value)
    short = os.path.normpath(joined)
    # `jobs/..` is not the current directory where `jobs` is a link.
    directory = short if _is_same_place(short, joined) else joined
    earlier = None if _is_same_place(value, directory) else (directory, value)
    return entries | {"dir": (origin, directory)}, earlier


def _is_same_place(one: str, other: str) -> bool:
    try:
        return os.path.realpath(one) == os.path.realpath(other)
    except FileNotFoundError:  # the current directory was deleted
        return one == other


def _with_file(folder: Path, entries: Entries, key: str) -> Entries:
    """Return the entries of a section; the name of a file of JSON, relative to the job file, becomes what it holds."""
    origin, value = entries.get(key, ("", None))
    if not isinstance(value, str):
        return entries
    path = folder / value
    try:
        if value.lstrip().startswith("{"):  # the JSON itself, which may hold what TOML cannot: null
            return entries | {key: (origin, json.loads(value))}
        content = path.read_text(encoding="utf-8-sig")
        lines = content.splitlines() if path.suffix in _JSON_LINES else []
        return entries | {key: (origin, [json.loads(line) for line in lines if line.strip()] or json.loads(content))}
    except OSError as problem:
        raise JobError(f'{origin} = "{value}"; {path} cannot be read: {problem.strerror}') from problem
    except ValueError as problem:
        raise JobError(f'{origin} = "{value}"; {path} is not JSON: {problem}') from problem
