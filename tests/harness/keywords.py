"""`batchrun/api/keywords.py`, generated from the sections: `python tests/harness/reference.py` writes it."""

import textwrap
import types
import typing
from dataclasses import fields
from pathlib import Path
from typing import Any

from batchrun.api.arguments import body_keys, flat_settings, whole_sections
from batchrun.job.sections import SECTIONS
from batchrun.job.settings import key_of

PATH = Path(__file__).parents[2] / "batchrun" / "api" / "keywords.py"

HEAD = '''"""The keyword arguments of `answer`, for type checkers and completion. Generated from the sections of a job.

`python tests/harness/reference.py` writes this file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from batchrun.job.sections import Price
from batchrun.job.settings import Section
from batchrun.report.bar import Progress


class Settings(TypedDict, total=False):
    """The settings of the job file by their names, whole sections, keys of the body, and how to run."""

    simulate: bool
    """run against the embedded simulator: no key, no cost"""
    retry_failed: bool
    """send failed rows again"""
    restart: bool
    """start over; the old checkpoint is kept under another name"""
    agree: bool | Callable[[str], bool]
    """whether to buy answers again because the job was edited, and to start a job above a cap"""
    progress: bool | Progress
    """whether to show the progress"""
    scorer: str | Callable[[dict[str, Any]], Any] | None
    """the name of a scorer, or a function that gets a row of the results as a dict and returns a number"""
    prices: Mapping[str, Price | Mapping[str, float]]
    """price of each model; it replaces the built-in price"""
    endpoints: Mapping[str, Section | Mapping[str, Any]]
    """`[endpoints.NAME]`: several services, instead of `endpoint`"""
'''

SEVERAL = {"base_url": "str | Sequence[str]"}
"""Settings of which a call takes several: an endpoint for each."""


def text() -> str:
    """Return the content of the file."""
    parts = [HEAD]
    for key, section in flat_settings().items():
        if key == "scorer":
            continue
        each = next(each for each in fields(SECTIONS[section]) if key_of(each) == key)  # type: ignore[arg-type]
        kind = "float | str | None" if each.metadata["key"] else SEVERAL.get(key) or _kind(each.type)
        parts.append(f'    {key}: {kind}\n    """{_line(each.metadata["doc"])}"""\n')
    for name, kind in whole_sections().items():
        doc = (kind.__doc__ or "").split("\n")[0]
        parts.append(f'    {name}: Section | Mapping[str, Any]\n    """{doc}"""\n')
    body = [key for key in body_keys() if key not in flat_settings()]
    parts += [f'    {key}: Any\n    """a key of the request\'s body, sent as it is"""\n' for key in body]
    return "".join(parts)


def _kind(kind: Any) -> str:
    """Return the source of what may be passed for a setting of a type."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        found = " | ".join(_kind(each) for each in typing.get_args(kind))
        return " | ".join(dict.fromkeys(found.split(" | ")))
    if kind is type(None):
        return "None"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        inner = _kind(arguments[0])
        return "str | Sequence[str]" if inner == "str" else f"Sequence[{inner}]"
    if origin is dict:
        return "Mapping[str, Any]"
    return "Any" if origin is not None or kind is Any else str(kind.__name__)


def _line(doc: str) -> str:
    doc = textwrap.fill(doc.replace("\\", "\\\\"), 110, subsequent_indent="    ")
    return f"{doc} " if doc.endswith('"') else doc
