"""A first job file for an input: commented, made from the columns of its first rows, and ready to be checked."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import chain, islice
from pathlib import Path
from typing import Any

from batchrun.errors import InputError
from batchrun.job.sections import NEXT, SECTIONS, Input, Job, default_directory
from batchrun.job.settings import key_of
from batchrun.prompts.advice import best_column
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.first_run import is_completed
from batchrun.prompts.input.folders import FIRST, is_run_directory
from batchrun.prompts.input.reader import RowReader
from batchrun.prompts.rows import Form, RowForms
from batchrun.prompts.template import as_template
from batchrun.storage.urls import is_remote

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
"""In the draft; the documentation uses it too."""

_LOOK_ROWS = 100

_VALUE_CHARS = 60
"""Of a value that are shown."""

_LABELS = ("custom_id", "id")
"""Columns that become the row's label without a setting."""

_TARGETS = ("answer", "label", "gold", "target", "expected", "reference", "solution")
_IMAGES = ("image", "images", "photo", "picture", "image_url")
"""Names of columns that are often a right answer, or images."""

_WHOLE = {
    "messages": "Each row brings its messages: they are sent as they are, and need no template.",
    "batch": "Each row is an OpenAI batch line: its body is sent as it is, and needs no template and no model.",
    "prompt": "Each row brings its prompt, and may bring its system message: a template is not needed.",
}


def draft(path: str, job: Path) -> str:
    """Return the text of a job file.

    Args:
        path: the input.
        job: where the job file will be; the path of the input is written relative to its folder.

    Raises:
        InputError: the input cannot be read or holds no rows.
    """
    rows = _first_rows(path)
    if not rows:
        raise InputError(f"{path}: holds no rows that can be read")
    forms = RowForms(Job(input=Input(path=(path,))))
    is_run = is_run_directory(Path(path))
    form = None if is_run else forms.form(rows[0])
    rows = [_flat(row) for row in rows] if is_run else rows
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    directory = default_directory(job.stem)
    if is_run and os.path.realpath(job.parent / directory) == os.path.realpath(path):
        directory += NEXT
    sections = [
        _head(path, job, names, rows[0]),
        _input(path, job.parent, names),
        _prompt(form, names, rows),
        _model(form),
        _response(),
        _evaluate(names),
        _limits(),
        f"[output]\ndir = {_toml(directory)}{_comment('output', 'dir')}\n",
    ]
    return "\n".join(sections)


def _first_rows(path: str) -> list[dict[str, Any]]:
    found = chain.from_iterable(RowReader(find_files([path]), limit=_LOOK_ROWS))
    return [row.columns for row in islice(found, _LOOK_ROWS) if row.columns is not None and is_completed(row)]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row of a run as a template writes them, without those that are null."""
    first = {f"{FIRST}.{name}": value for name, value in row[FIRST].items() if value is not None}
    return {name: value for name, value in row.items() if name != FIRST} | first


def _head(path: str, job: Path, names: Sequence[str], row: Mapping[str, Any]) -> str:
    wide = min(max(map(len, names)), _VALUE_CHARS)
    file, tried = shlex.quote(str(job)), shlex.quote(f"{default_directory(job.stem)}_tried")
    columns = "".join(f"#   {_shown(each):<{wide}}  {_shown(row.get(each))}".rstrip() + "\n" for each in names)
    commands = f"#   batchrun check {file}\n#   batchrun run {file} --simulate -o {tried}\n"
    return (
        f"# A job for {_shown(path)}. Check what it will send and cost, then try it without a key:\n#\n{commands}#\n"
        f"# The columns of the input, with the values of the first row:\n#\n{columns}"
    )


def _input(path: str, folder: Path, names: Sequence[str]) -> str:
    where = path if is_remote(path) or Path(path).is_absolute() else os.path.relpath(path, folder)
    label = next((each for each in names if each in _LABELS), None)
    lines = ["[input]", f"{'run' if is_run_directory(Path(path)) else 'path'} = {_toml(where)}"]
    lines.append(f"# id = {_toml(label or names[0])}{_comment('input', 'id')}")
    lines.append(f"# sample = 100{_comment('input', 'sample')}")
    return "\n".join(lines) + "\n"


def _prompt(form: Form | None, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["[prompt]"]
    if form is not None:
        lines.append(f"# {_WHOLE[form]}")
    if form != "batch":
        lines.append('# system = "Answer with one word."')
    if form is None:
        is_run = f"{FIRST}.response" in names
        asked = None if is_run else best_column(rows, names, _LABELS) or names[0]
        lines.append("# Name the columns in double braces; the text around them is sent as it is.")
        lines.append(f"user = {_toml(f'{{{{ {FIRST}.response }}}}' if asked is None else as_template(asked))}")
    images = next((each for each in names if each in _IMAGES), None)
    if images is not None:
        lines.append(f"# images = {_toml(images)}{_comment('prompt', 'images')}")
    return "\n".join(lines) + "\n"


def _model(form: Form | None) -> str:
    mark = "# " if form == "batch" else ""
    lines = ["[model]"]
    lines.append(f'{mark}name = {_toml(MODEL)}  # `batchrun models` lists others; names = ["a", "b"] asks several')
    lines.append(f"# temperature = 0{_comment('model', 'temperature')}")
    lines.append(f"# max_tokens = 500{_comment('model', 'max_tokens')}")
    lines.append(f"# num_samples = 4{_comment('model', 'num_samples')}")
    return "\n".join(lines) + "\n"


def _response() -> str:
    return (
        "# Answers that fit a JSON Schema; each property becomes a typed column of the results.\n"
        "# [response.schema]\n"
        '# type = "object"\n'
        '# required = ["label"]\n'
        '# properties.label = { enum = ["positive", "negative"] }\n'
    )


def _evaluate(names: Sequence[str]) -> str:
    target = next((each for each in _TARGETS if each in names), None)
    return (
        "# Scores: each answer is compared with the right one.\n"
        "# [evaluate]\n"
        f"# target = {_toml(target or 'answer')}{_comment('evaluate', 'target')}\n"
        f'# scorer = "exact"{_comment("evaluate", "scorer")}\n'
    )


def _limits() -> str:
    lines = ["[limits]"]
    lines += [f"# {key} = {value}{_comment('limits', key)}" for key, value in _LIMITS.items()]
    return "\n".join(lines) + "\n"


_LIMITS = {"max_cost_usd": "5", "stop_at": '"07:30"', "max_concurrency": "100"}


def _comment(section: str, key: str) -> str:
    """Return the setting's own line of documentation as a comment."""
    field = next(each for each in fields(SECTIONS[section]) if key_of(each) == key)  # type: ignore[arg-type]  # sections are dataclasses
    return f"  # {field.metadata['doc']}"


def _toml(text: str) -> str:
    """Return a text as a TOML string. Strings of JSON are TOML, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(value: Any) -> str:
    """Return a value on one line of a comment, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    text = "".join(each if each.isprintable() else " " for each in text[: 2 * _VALUE_CHARS])
    text = " ".join(text.split())
    return text if len(text) <= _VALUE_CHARS else f"{text[:_VALUE_CHARS]}…"


def _plain(value: Any) -> str:
    return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)
