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

from batchrun.report.batches import BatchTable
from batchrun.report.charts import Chart
from batchrun.report.compare import Comparison
from batchrun.report.events import EventLine
from batchrun.report.part_tables import columns_of
from batchrun.report.plots import Figure
from batchrun.report.sample import Sample, harmless_json
from batchrun.report.scores import ScoreTable
from batchrun.report.table import Layout
from batchrun.report.texts import counted

SAMPLE_BYTES = 2_200_000
"""Most bytes of rows, so that the page stays below 3 MB: plots take 0.2 MB, and all other texts are cut."""


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
    batches: BatchTable | None
    """Those that are not collected; None where there are none."""
    charts: Sequence[Chart]
    """Distributions of what the answers say."""
    models: Sequence[Mapping[str, Any]]
    """One entry per model, with the columns of usage.parquet, the cost as a text, and its speed."""
    endpoints: Sequence[Mapping[str, Any]]
    """One entry per endpoint, likewise; empty where there is one."""
    endpoint_figures: Sequence[Figure]
    """A plot of each endpoint."""
    failures: Sequence[Mapping[str, Any]]
    """`kind`, `rows`, `example`."""
    events: Sequence[EventLine]
    """Executions, pauses and the time between executions."""
    events_left_out: int
    """Number of earlier events that are not shown."""
    figures: Sequence[Figure]
    scores: Sequence[ScoreTable]
    """One table for each column of scores."""
    scorer: str
    """What scored the results; empty where an older version scored them."""
    agreement: str
    """How far the answers to a prompt agree; empty where they do not vote."""
    comparison: Comparison | None
    """Of the answers to each prompt; None where each prompt has one answer."""
    layout: Layout
    sample: Sample
    rows: int
    """Number of rows in the results."""
    prompts: int
    """Number of input rows among them."""
    zone: str
    """Name of the time zone of all times."""
    version: str
    made_at: str

    @property
    def model_columns(self) -> dict[str, str]:
        """The columns of the table of models: key → head."""
        return columns_of(self.models)

    @property
    def endpoint_columns(self) -> dict[str, str]:
        """The columns of the table of endpoints: key → head."""
        return columns_of(self.endpoints)

    @property
    def compared_text(self) -> str:
        """How many prompts have answers that differ."""
        found = self.comparison
        assert found is not None
        prompts = counted(found.prompts, "prompt")
        if len(self.models) > 1:
            differ = f"Models disagree on {found.between:,} of {prompts}"
            differ += f"; on {found.within:,} more, answers of the same model differ" if found.within else ""
        else:
            differ = f"Answers differ on {found.within:,} of {prompts}"
        return f"{differ}. Compared by {', '.join(found.columns)}; what differs from most answers is marked."

    @property
    def sample_text(self) -> str:
        """Which rows are shown."""
        shown, prompts = self.sample.answers, len(self.sample.prompts)
        with_prompts = self.prompts < self.rows
        if self.sample.is_all:
            answers = f", {counted(self.rows, 'answer')}" if with_prompts else ""
            return f"All {counted(self.prompts, 'prompt')}{answers}." if with_prompts else f"All {self.rows:,} rows."
        if with_prompts:
            whole = "all their answers" if self.sample.are_whole else "their first answers"
            what = f"{prompts:,} of {counted(self.prompts, 'prompt')} with {whole} ({shown:,} of {self.rows:,} rows)"
            is_compared = self.comparison is not None and self.comparison.columns
            chosen = "failed ones and those with the largest differences first" if is_compared else "failed ones first"
        else:
            what, chosen = f"{shown:,} of {self.rows:,} rows", "failed ones first"
        return f"A sample: {what}; {chosen}, the others picked at random. All rows are in results.parquet."


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
        data=Markup(harmless_json(_data(page))),  # noqa: S704  # see there
        svgs=[_markup(figure.svgs) for figure in page.figures],
        endpoint_svgs=[_markup(figure.svgs) for figure in page.endpoint_figures],
        charts=[_markup(chart.svgs) for chart in page.charts],
    )


def _data(page: Page) -> dict[str, Any]:
    """Return what the script needs."""
    layout, sample = page.layout, page.sample
    return {
        "promptColumns": sample.prompt_columns,
        "answerColumns": sample.answer_columns,
        "texts": layout.texts,
        "target": layout.target,
        "typed": layout.typed,
        "evaluated": list(layout.evaluated),
        "compared": [] if page.comparison is None else page.comparison.columns,
        "models": [each["model"] for each in page.models],
        "prompts": [prompt.data for prompt in sample.prompts],
    }


def _markup(svgs: Sequence[str]) -> list[Markup]:
    return [Markup(svg) for svg in svgs]  # noqa: S704  # made by ElementTree, which escapes texts


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return files("batchrun.report").joinpath(name).read_text(encoding="utf-8")
