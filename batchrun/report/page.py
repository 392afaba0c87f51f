"""Renders report.html: one page that needs no network, and in which answers are only text.

Texts reach the page in two ways: escaped by Jinja2, or as JSON in which every `<`, `>` and `&` is escaped; the script
sets them only as text. In addition, the page's policy allows one script and one style, by their hashes, and no
connections.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from batchrun.report.plots import Figure
from batchrun.report.sample import Sample, harmless_json

SAMPLE_BYTES = 2_200_000
"""Most bytes of rows, so that the page stays below 3 MB: plots take 0.1 MB, and all other texts are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The content of the page."""

    name: str
    """Of the job."""
    state: str
    """State of the run, in one word."""
    is_done: bool
    message: str
    """Why the run stopped; empty when it completed."""
    facts: Mapping[str, str]
    """Settings of the run: name → value."""
    texts: Mapping[str, str]
    """Prompt templates and schema: heading → text."""
    totals: Mapping[str, str]
    """Numbers at the top: name → number."""
    models: Sequence[Mapping[str, Any]]
    """One entry per model, with the columns of usage.parquet."""
    failures: Sequence[Mapping[str, Any]]
    """`kind`, `rows`, `example`."""
    figures: Sequence[Figure]
    scores: Sequence[Mapping[str, Any]]
    """As in run.json, for the models with scores."""
    sample: Sample
    rows: int
    """Number of rows in the results."""
    failed_shown: int
    """Number of rows that are in the sample because they failed."""
    version: str
    made_at: str


def render(page: Page) -> str:
    """Return the HTML of the page."""
    style, script = _read("page.css"), _read("page.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_read("page.html.j2"))
    return template.render(
        page=page,
        style=Markup(style),  # noqa: S704  # a file of this package
        script=Markup(script),  # noqa: S704  # a file of this package
        policy=_policy(style, script),
        data=Markup(harmless_json({"columns": page.sample.columns, "rows": page.sample.rows})),  # noqa: S704  # see there
        svgs=[Markup(figure.svg) for figure in page.figures],  # noqa: S704  # made by ElementTree, which escapes texts
    )


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return files("batchrun.report").joinpath(name).read_text(encoding="utf-8")
