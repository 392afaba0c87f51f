"""The page of the report: no text in it can add elements, run scripts or connect anywhere."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from batchrun.report.page import Page, render
from batchrun.report.sample import Sample, harmless_json

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
        "models": [],
        "failures": [],
        "figures": [],
        "scores": [],
        "sample": Sample(["row", "response"], [[0, "yes"]], is_all=True),
        "rows": 1,
        "failed_shown": 0,
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
    seen = _Seen(render(page(scores=[scores_of("tea"), scores_of("milk") | {"interval": None, "labels": None}])))
    text = "".join(seen.text.split())
    assert "pass@1pass@2rowsnotscoredtea0.50.4–0.60.50.7537milk0.5–0.50.7537" in text
    assert "tea:accuracy0.125,macroF10.375" in text
    assert "predictedteapredictedanythingelsetea–0.25321" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_adds_no_element_in_any_place(text: str) -> None:
    """The places are name, message, facts, templates, models, failures, scores and rows."""
    model = dict.fromkeys([*("completed", "failed", "attempts", "throttled"), *USAGE], 1)
    parts = {
        "name": text,
        "state": text,
        "message": text,
        "facts": {text: text},
        "texts": {text: text},
        "totals": {text: text},
        "models": [{"model": text, "cost_usd": None, **model}],
        "failures": [{"kind": text, "rows": 1, "example": text}],
        "scores": [scores_of(text)],
        "sample": Sample(["row", text], [[0, text]], is_all=True),
    }
    plain = {name: json.loads(json.dumps(value).replace(json.dumps(text)[1:-1], "x")) for name, value in parts.items()}
    plain |= {"sample": Sample(["row", "x"], [[0, "x"]], is_all=True)}
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
    sample = Sample(["row"], [[0], [5]], is_all=False)
    text = _Seen(render(page(sample=sample, rows=1_000_000, failed_shown=1))).text
    assert "A sample: 2 of 1,000,000 rows, including the first 1 failed rows" in text


def test_a_run_without_rows_has_a_page() -> None:
    """A report can be written before the first answer."""
    assert "No row is settled yet." in render(page(sample=Sample([], [], is_all=True), rows=0))
