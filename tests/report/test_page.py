"""The page of the report: no text in it can add elements, run scripts or connect anywhere."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from batchrun.report.charts import Bar, Chart, Line
from batchrun.report.compare import Comparison
from batchrun.report.events import EventLine
from batchrun.report.page import Page, render
from batchrun.report.sample import Prompt, Sample, harmless_json
from batchrun.report.scores import ScoreTable
from batchrun.report.table import Layout

SPEED = ("rate", "tokens_per_s", "median_s", "p90_s", "p99_s", "cost_text")
USAGE = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "&lt;b&gt; &amp; &#60;",
    "\u2028\u2029",
    "]]>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "\x00\x1b[31m\ufeff\u202e",
]


def sample_of(*prompts: Prompt, is_all: bool = True) -> Sample:
    """Return a sample with two columns."""
    return Sample(["row"], ["response"], list(prompts), is_all)


LAYOUT = Layout(prompt=["row"], answer=["response"], texts=[], target=None, typed=[], is_scored=False)


def page(**changes: Any) -> Page:
    """Return a page with some changed values."""
    values: dict[str, Any] = {
        "name": "job",
        "state": "done",
        "is_done": True,
        "message": "",
        "facts": {"models": "m"},
        "texts": {},
        "totals": {"rows": "1"},
        "batches": None,
        "charts": [],
        "models": [],
        "failures": [],
        "events": [],
        "events_left_out": 0,
        "figures": [],
        "endpoints": [],
        "endpoint_figures": [],
        "scores": [],
        "scorer": "",
        "agreement": "",
        "comparison": None,
        "layout": LAYOUT,
        "sample": sample_of(Prompt([0], [["yes"]], 0)),
        "rows": 1,
        "prompts": 1,
        "zone": "UTC",
        "version": "0",
        "made_at": "today",
    }
    return Page(**values | changes)


class _Seen(HTMLParser):
    """The elements, attributes and text of a page, and the texts of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1] == "script":
            self.scripts.append(data)
        self.text += data


def scores_of(text: str) -> dict[str, Any]:
    """Return scores as in run.json, with the text as the name of the model and of a label."""
    label = {"label": text, "support": 3, "predicted": 0, "precision": None, "recall": 0.25, "f1": 0.0}
    labels = {"accuracy": 0.125, "macro_f1": 0.375, "classes": [label], "confusion": [[2, 1]]}
    mean = {"mean": 0.5, "interval": [0.4, 0.6], "pass_at": {"1": 0.5, "2": 0.75}}
    return {"model": text, "scored": 3, "unscored": 7, "prompts": 2, **mean, "labels": labels}


def test_the_scores_of_the_run_are_shown() -> None:
    """Mean, interval and pass@k; for labels also precision, recall and the confusion matrix."""
    seen = _Seen(
        render(
            page(
                scores=[ScoreTable("score", [scores_of("tea"), scores_of("milk") | {"interval": None, "labels": None}])]
            )
        )
    )
    text = "".join(seen.text.split())
    assert "01pass@1pass@2rowsnotscoredtea0.50.4–0.60.5(95%:0.4–0.6)0.50.7537milk0.5–0.50.50.7537" in text
    assert "tea:accuracy0.125,macroF10.375" in text
    assert "predictedteapredictedanythingelsetea–0.25321" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_adds_no_element_in_any_place(text: str) -> None:
    """The places are name, message, facts, templates, charts, models, failures, events, scores and rows."""
    model = dict.fromkeys([*("completed", "failed", "attempts", "throttled"), *USAGE], 1) | dict.fromkeys(SPEED, text)
    event = EventLine(1, "pause", text, text, text, text, text, text, text)
    chart = Chart(text, [text, text], [Line(text, [Bar(1, 50, 100)] * 2)], [], [text])
    parts = {
        "name": text,
        "state": text,
        "message": text,
        "facts": {text: text},
        "texts": {text: text},
        "totals": {text: text},
        "models": [{"model": text, "cost_usd": None, **model}],
        "failures": [{"kind": text, "rows": 1, "example": text}],
        "agreement": text,
        "scorer": text,
        "zone": text,
    }
    plain = {name: json.loads(json.dumps(value).replace(json.dumps(text)[1:-1], "x")) for name, value in parts.items()}
    for values, word in ((parts, text), (plain, "x")):
        values["scores"] = [ScoreTable(word, [scores_of(word)])] * 2
        values["events"] = [event._replace(**{name: word for name in event._fields if name not in ("number", "look")})]
        values["charts"] = [
            chart._replace(name=word, models=[word] * 2, lines=[Line(word, chart.lines[0].bars)], notes=[word])
        ]
        values["sample"] = Sample(["row", word], [word], [Prompt([0, word], [[word]], 0)], is_all=True)
        values["layout"] = LAYOUT._replace(texts=[word], typed=[word])
        values["comparison"] = Comparison([word], prompts=1)
    seen, expected = _Seen(render(page(**parts))), _Seen(render(page(**plain)))
    assert seen.elements == expected.elements
    assert [name for name, _ in seen.attributes] == [name for name, _ in expected.attributes]


@pytest.mark.parametrize("text", HOSTILE)
def test_embedded_rows_are_unchanged_and_harmless(text: str) -> None:
    """A JSON parser reverts the escapes."""
    embedded = harmless_json([text])
    assert json.loads(embedded) == [text]
    assert not re.search("[<>&\u2028\u2029]", embedded)


def test_the_policy_allows_only_the_scripts_and_styles_of_the_page() -> None:
    """It allows them by hash, so an injected script does not run. It allows no connection."""
    html = render(page())
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for element in ("script", "style"):
        [code] = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_the_page_has_no_external_references() -> None:
    """Neither in elements and attributes nor in styles."""
    html = render(page())
    seen = _Seen(html)
    assert not {"link", "iframe", "img", "object", "a"} & set(seen.elements)
    assert not {"src", "href", "style", "onclick"} & {name for name, _ in seen.attributes}
    assert "url(" not in html
    assert "@import" not in html


def test_a_sample_of_rows_is_labelled_as_a_sample() -> None:
    """The label has the number of all rows and the rule of selection."""
    sample = sample_of(Prompt([0], [["a"]], 0), Prompt([5], [["b"]], 0), is_all=False)
    text = _Seen(render(page(sample=sample, rows=1_000_000, prompts=1_000_000))).text
    assert "A sample: 2 of 1,000,000 rows; failed ones first, the others picked at random." in text


def test_a_sample_of_prompts_says_that_all_their_answers_are_shown() -> None:
    """With the number of prompts and of rows."""
    sample = sample_of(Prompt([0], [["a"], ["b"]], 0), Prompt([5], [["b"], ["c"]], 0), is_all=False)
    text = _Seen(render(page(sample=sample, rows=1_000, prompts=500))).text
    assert "A sample: 2 of 500 prompts with all their answers (4 of 1,000 rows);" in text
    text = _Seen(render(page(sample=sample._replace(is_all=True), rows=4, prompts=2))).text
    assert "All 2 prompts, 4 answers." in text


@pytest.mark.parametrize(
    ("models", "between", "within", "expected"),
    [
        (2, 7, 3, "Models disagree on 7 of 50 prompts; on 3 more, answers of the same model differ."),
        (2, 0, 0, "Models disagree on 0 of 50 prompts."),
        (1, 0, 3, "Answers differ on 3 of 50 prompts."),
    ],
)
def test_the_number_of_prompts_with_differences_is_shown(models: int, between: int, within: int, expected: str) -> None:
    """With what was compared."""
    entry = dict.fromkeys(("failed", "throttled", "model", *USAGE, *SPEED, "completed", "attempts"), "1")
    found = Comparison(["label"], prompts=50, between=between, within=within)
    text = _Seen(render(page(comparison=found, models=[entry] * models, rows=100, prompts=50))).text
    assert f"{expected} Compared by label; what differs from most answers is marked." in text


def test_columns_of_models_that_are_zero_for_all_are_left_out() -> None:
    """A table with fewer columns is easier to read; what is not zero is never left out."""
    entry = dict.fromkeys(("model", *USAGE, *SPEED, "completed", "attempts"), 0) | {"failed": 0, "throttled": 0}
    assert "throttled" not in page(models=[entry]).model_columns
    assert page(models=[entry, entry | {"throttled": 5}]).model_columns["throttled"] == "throttled"
    assert "prompt_tokens" in page(models=[entry]).model_columns


def test_a_run_without_rows_has_a_page() -> None:
    """A report can be written before the first answer."""
    assert "No row is settled yet." in render(page(sample=Sample([], [], [], is_all=True), rows=0, prompts=0))
