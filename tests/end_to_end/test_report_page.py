"""The page of `batchrun report` in a real browser: typed answers, models side by side, outages, on a phone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.browser import Browser
from harness.settled import HEAD, body_of, failed, settle

from batchrun.checkpoint.store import Store
from batchrun.records import Request, Usage

START_MS = 1_795_900_000_000
HOUR_MS = 3_600_000

LABELS = """
[prompt]
user = "{{ text }}"
[evaluate]
target = "gold"
scorer = "json_field"
field = "label"
[response.schema]
type = "object"
properties.label = { enum = ["good", "bad", "odd"] }
properties.sure = { type = "number" }
properties.tags = { type = "array", items = { type = "string" } }
"""

MODELS = '["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-235B-A22B-Instruct-2507"]'


def rows(count: int) -> list[dict[str, Any]]:
    """Return rows of a labelling job."""
    return [{"text": f"text {row} " + "with many words " * 20, "gold": "good"} for row in range(count)]


def label(request: Request, label: str, at_ms: int) -> dict[str, Any]:
    """Return an outcome with a label."""
    answer = {"label": label, "sure": request.row / 97, "tags": ["a", "b"][: request.row % 3]}
    times = {"finished_at_ms": at_ms, "latency_s": 1 + request.row % 7}
    return {"body": body_of(orjson.dumps(answer).decode()), "usage": Usage(30, 20, 50, None, None), **times}


def labelling() -> None:
    """A run with a schema, of which a row failed."""

    def answer(request: Request) -> dict[str, Any]:
        if request.row == 3:
            return failed("timeout", error="no answer within 600 s") | {"finished_at_ms": START_MS}
        return label(request, "good" if request.row % 3 else "bad", START_MS + 400 * request.row)

    settle(rows(100), answer, LABELS)


def evaluation() -> None:
    """Two models and four samples; they disagree on prompt 7, and one sample differs on prompt 5."""

    def answer(request: Request) -> dict[str, Any]:
        differs = (request.row == 7 and "Qwen" in request.model) or (request.row, request.sample) == (5, 3)
        return label(request, "bad" if differs else "good", START_MS + 400 * request.row)

    settle(rows(30), answer, LABELS, head=HEAD.replace('["m"]', f"{MODELS}\nnum_samples = 4"))


def three() -> None:
    """A run of three rows, whose input has a column with the name of one of the table."""
    settle(
        [{"prompt": text, "answer": "b"} for text in "abc"], lambda request: "yes", '[evaluate]\ntarget = "answer"\n'
    )


def night() -> None:
    """Two executions with an outage, a day apart."""

    def answer(request: Request) -> dict[str, Any]:
        at_ms = START_MS + (request.row * HOUR_MS) // 50
        return label(request, "good", at_ms + (24 * HOUR_MS if request.row >= 100 else 0))

    settle(rows(200), answer, LABELS)
    with Store(Path("out")) as store:
        store.history.begin_execution(START_MS)
        store.history.paused("m", "http_503", START_MS + HOUR_MS // 2, "the model is overloaded")
        store.history.resumed("m", START_MS + HOUR_MS)
        store.history.seen(START_MS + 2 * HOUR_MS)
    with Store(Path("out")) as store:
        store.history.begin_execution(START_MS + 26 * HOUR_MS)
        store.history.end_execution(START_MS + 28 * HOUR_MS, "completed")


@pytest.fixture
def opened(browser: Browser, batchrun: Any) -> Callable[[Callable[[], None]], Browser]:
    """Make a run, and open its report."""

    def opened(make: Callable[[], None]) -> Browser:
        make()
        assert batchrun("report", "out").code == 0
        browser.open(Path("out/report.html").absolute().as_uri())
        assert browser.log == []
        return browser

    return opened


def test_typed_answers_are_columns_next_to_the_text(opened: Any) -> None:
    """A failed row shows its error in their place."""
    browser = opened(labelling)
    assert browser.texts("#rows th") == [
        "row",
        "text",
        "gold",
        "status",
        "label",
        "sure",
        "tags",
        "score",
        "tokens",
        "latency, s",
    ]
    cells = browser.texts("#rows tr.row:nth-child(6) td")
    assert cells[0] == "5"
    assert cells[1].startswith("text 5 with many words")
    assert cells[2:] == ["good", "completed", "good", "0.0515464", "a, b", "1", "20", "6.00"]
    assert browser.texts("#rows tr.row:nth-child(4) td")[3:] == ["timeout", "no answer within 600 s", "", "", "0.50"]


def test_models_are_shown_side_by_side_with_the_largest_differences_first(opened: Any) -> None:
    """One row per prompt, one column per model and sample; what differs from most answers is marked."""
    browser = opened(evaluation)
    heads = browser.texts("#rows th")
    assert heads[:3] == ["row", "text", "gold"]
    assert heads[3:] == [
        f"{name} #{n}" for name in ("Llama-3.1-8B-Instruct", "Qwen3-235B-A22B-Instruct-2507") for n in range(4)
    ]
    first, second = (browser.texts(f"#rows tr.row:nth-child({number}) td") for number in (1, 2))
    assert (first[0], second[0]) == ("7", "5")
    assert [cell.split()[1] for cell in first[3:]] == ["good"] * 4 + ["bad"] * 4
    assert browser.texts("#rows tr.row:nth-child(1) .part.differs") == ["bad"] * 4
    assert browser.texts("#rows tr.row:nth-child(2) .part.differs") == ["bad"] * 2, "sample 3 of both models"
    assert browser.texts("#rows tr.row:nth-child(3) .differs") == []
    assert browser.all("#place")[0].text == "1 – 25 of 30"
    browser.all("#order option[value='']")[0].click()
    assert browser.rows()[0].startswith("0 ")
    browser.all("#order option[value=scores]")[0].click()
    assert browser.rows()[0].startswith("7 ")
    browser.all("#rows tr.row")[0].click()
    assert len(browser.all("#rows tr.more h3")) == 8


def refusals() -> None:
    """Two models that refuse in the same words, or say nothing."""

    def answer(request: Request) -> dict[str, Any]:
        message = {"role": "assistant", "content": "", "refusal": "I cannot help." if request.row % 2 else None}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = orjson.dumps({"object": "chat.completion", "choices": choices})
        return {"body": body, "usage": Usage(1, 1, 2, None, None), "finished_at_ms": START_MS, "latency_s": 1}

    settle(rows(4), answer, '[prompt]\nuser = "{{ text }}"', head=HEAD.replace('["m"]', MODELS))


def test_answers_that_are_alike_are_not_marked(opened: Any) -> None:
    """Refusals in the same words, and answers without text."""
    browser = opened(refusals)
    assert browser.texts("#rows tr.row:nth-child(2) .part") == ["I cannot help."] * 2
    assert browser.texts("#rows .differs") == []


OVERLAPS = """[...document.querySelectorAll('svg')].filter(svg => svg.checkVisibility()).flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  return texts.flatMap(([one, a], n) => texts.slice(n + 1).filter(([_, b]) => meet(a, b)).map(([two]) => [one, two]));
})"""

CUT = """[...document.querySelectorAll('svg')].filter(svg => svg.checkVisibility()).flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1;
  }).map(text => text.textContent);
})"""


WIDE_TABLES = """[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth + 1)
  .map(each => each.firstElementChild.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [390, 1300])
@pytest.mark.parametrize("make", [labelling, evaluation, three, night])
def test_the_page_fits_the_screen_and_its_labels_do_not_overlap(opened: Any, make: Any, width: int) -> None:
    """On a phone and on a desktop: the page does not scroll sideways, and no text in a plot is cut or too small."""
    browser = opened(make)
    browser.be_wide(width)
    deadline_s = time.monotonic() + 60
    while browser.ask("innerWidth") != width:
        assert time.monotonic() < deadline_s
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask(OVERLAPS) == []
    assert browser.ask(CUT) == []
    if width < 640:
        assert browser.ask(WIDE_TABLES) == []
    heights = browser.ask("[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().height)")
    assert all(height > 8 for height in heights if height), "the invisible ones have none"


def test_outages_and_the_time_between_executions_are_bands_in_the_plots(opened: Any) -> None:
    """With the numbers of the table; the gap of a day does not fill the plot."""
    browser = opened(night)
    assert browser.texts("#events .what") == ["execution 1", "paused", "no process", "execution 2"]
    plot = ".figures figure:first-child .wide"
    assert browser.texts(f"{plot} .label") == ["2: paused 30 min 00 s", "3: no process 24 h 00 min"]
    widths = [box.size["width"] for box in browser.all(f"{plot} .band rect")]
    assert 0 < widths[1] < widths[0] < browser.all(f"{plot} svg")[0].size["width"] / 6
    titles = browser.ask(f"[...document.querySelectorAll('{plot} .band title')].map(title => title.textContent)")
    assert titles[0] == "2: paused 30 min 00 s: http_503: the model is overloaded"


def test_few_rows_have_no_plots_and_the_job_is_folded(opened: Any) -> None:
    """What there is stands above the rows."""
    browser = opened(three)
    assert browser.all(".figures") == []
    assert browser.texts("#rows th")[:4] == ["row", "prompt", "answer", "answer"]
    assert browser.texts("#rows tr.row:first-child td")[:4] == ["0", "a", "b", "yes"]
    [job] = browser.all("#job")
    assert "endpoint" not in job.text
    job.click()
    assert "endpoint" in job.text
