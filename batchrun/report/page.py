"""Makes report.html: one page that needs no network, and in which no answer can do anything but be read.

Texts reach the page in two ways: escaped by Jinja2, or as JSON whose every `<`, `>` and `&` is written as an escape;
the script only ever sets them as text. On top, the page's own policy allows no script and no style but these two, by
their hashes, and no connection to anywhere.
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
"""Of the rows in it, so that the page stays under 3 MB: plots take 0.1 MB, and all other texts are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the page says."""

    name: str
    """Of the job."""
    state: str
    """How the run ended, or stands, in a word."""
    is_done: bool
    message: str
    """Why it stopped; empty when it did not."""
    facts: Mapping[str, str]
    """What ran: heading → value."""
    texts: Mapping[str, str]
    """Prompt templates and the like, shown as they are: heading → text."""
    totals: Mapping[str, str]
    """Figures at the head: heading → number."""
    models: Sequence[Mapping[str, Any]]
    """One row a model, with the columns of usage.parquet."""
    failures: Sequence[Mapping[str, Any]]
    """`kind`, `rows`, `example`."""
    figures: Sequence[Figure]
    scores: Sequence[Mapping[str, Any]]
    """As in run.json, of the models that have any."""
    sample: Sample
    rows: int
    """In the results."""
    failed_shown: int
    """Failed rows that are in the sample because they failed."""
    version: str
    made_at: str


def render(page: Page) -> str:
    """Return the whole HTML."""
    style, script = _read("page.css"), _read("page.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_read("page.html.j2"))
    return template.render(
        page=page,
        style=Markup(style),  # noqa: S704  # a file of this package
        script=Markup(script),  # noqa: S704  # a file of this package
        policy=_policy(style, script),
        data=Markup(harmless_json({"columns": page.sample.columns, "rows": page.sample.rows})),  # noqa: S704  # see there
        svgs=[Markup(figure.svg) for figure in page.figures],  # noqa: S704  # drawn here, and serialised as XML
    )


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return files("batchrun.report").joinpath(name).read_text(encoding="utf-8")
