"""`batchrun report`, and its page in a real browser."""

import html
import os
import re
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.browser import Browser
from harness.checkpoints import answer, failure, requests, settle
from harness.prompts import write_prompts

from batchrun.checkpoint import facts
from batchrun.checkpoint.store import Store
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Model
from batchrun.job.serialization import job_to_dict

ATTACK = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\"> needle"
ROWS = 60


def test_report_writes_one_page_and_prints_its_path(run: Any, batchrun: Any) -> None:
    """The path is on stderr, as for `export`."""
    run(write_prompts("a", "b"))
    done = batchrun("report", "out")
    assert (done.code, done.stdout, done.stderr) == (0, "", "out/report.html\n")
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


def test_report_writes_missing_or_old_results_first(run: Any, batchrun: Any) -> None:
    """The checkpoint has everything that is needed."""
    run(write_prompts("a", "b"))
    results = Path("out/results.parquet")
    results.unlink()
    assert batchrun("report", "out").code == 0
    written_ns = results.stat().st_mtime_ns
    batchrun("report", "out")
    assert results.stat().st_mtime_ns == written_ns, "they were as new as the checkpoint, and written again"
    os.utime(results, (1, 1))
    batchrun("report", "out")
    assert results.stat().st_mtime > 1


def test_report_of_unreadable_results_says_how_to_write_them_again(run: Any, batchrun: Any) -> None:
    """The exit code is 3, as for all problems of a run directory."""
    run(write_prompts("a"))
    Path("out/results.parquet").write_bytes(b"PAR1 no more")
    done = batchrun("report", "out")
    assert done.code == 3
    assert "out/results.parquet: cannot be read" in done.stderr
    assert "batchrun export out" in done.stderr


@pytest.mark.parametrize(("simulated", "cost"), [(True, ["simulated cost"]), (False, [])])
def test_what_happened_is_named_alike_on_a_phone_and_on_a_wide_screen(
    batchrun: Any, endpoint: Any, simulated: bool, cost: list[str]
) -> None:
    """Where no price is known, no cost is named."""
    to = ["-m", "meta-llama/Llama-3.1-8B-Instruct"]
    where = ["--simulate"] if simulated else ["--base-url", endpoint.base_url]
    assert batchrun("run", write_prompts("a", "b"), *to, "-o", "out", *where).code == 0
    batchrun("report", "out")
    (table,) = re.findall(r'<table id="events".*?</table>', Path("out/report.html").read_text(), re.DOTALL)
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", table)
    assert re.findall(r'data-name="([^"]*)"', table) == heads
    assert [head for head in heads if "cost" in head] == cost


def test_report_of_a_folder_without_a_run_exits_3(batchrun: Any) -> None:
    """The message has the folder."""
    done = batchrun("report", "nowhere")
    assert done.code == 3
    assert done.stderr.startswith("batchrun: nowhere: holds no run")


def test_the_page_has_no_key(run: Any, batchrun: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows the job, and a job never contains a key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-8c1f")
    run(write_prompts("a"))
    batchrun("report", "out")
    assert "canary" not in Path("out/report.html").read_text(encoding="utf-8")


def test_the_page_stays_under_three_megabytes_for_all_answers(batchrun: Any) -> None:
    """With more and longer answers than fit, of characters that need six times the space when they are escaped."""
    body = orjson.dumps({"choices": [{"message": {"content": "<" * 3_000}, "finish_reason": "stop"}]})
    Path("out").mkdir()
    settle(Path("out"), [answer(request, body=body) for request in requests(*map(str, range(2_500)))])
    with Store(Path("out")) as store:
        store.set_fact(facts.JOB, job_to_dict(Job(input=Input(path=("in.jsonl",)))))
    assert batchrun("report", "out").code == 0
    page = Path("out/report.html").read_bytes()
    assert len(page) < 3_000_000
    assert b"A sample: 2,000 of 2,500 rows" in page


def shown(selector: str) -> list[list[str]]:
    """Return the texts of the lines of a list or a table of the page."""
    page = Path("out/report.html").read_text(encoding="utf-8")
    [part] = re.findall(rf'<\w+ (?:id|class)="{selector}".*?</(?:dl|tbody)>', page, re.DOTALL)
    lines = re.split("</div>|</tr>", part)[:-1]
    return [[html.unescape(text).strip() for text in re.findall(r"<[dt][dtdh][^>]*>(.*?)</", line)] for line in lines]


def test_the_page_shows_what_the_endpoint_has_counted(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Requests, throttled ones, and tokens; of each execution, the rows that it settled."""
    endpoint.change(concurrency_limit=2, latency_s=0.01)
    prompts = write_prompts(*map(str, range(60)))
    run(prompts, "-m", "openai/gpt-oss-20b", "--limit", "20")
    run(prompts, "-m", "openai/gpt-oss-20b", "--limit", "60")
    assert batchrun("report", "out").code == 0
    totals, stats = dict(shown("totals")), endpoint.stats
    assert totals["rows completed"] == "120"
    assert totals["requests sent"] == str(stats.received)
    assert totals["requests throttled"] == str(stats.received - stats.answered)
    assert totals["tokens in"] == f"{stats.prompt_tokens:,}"
    assert totals["tokens out"] == f"{stats.completion_tokens:,}"
    models = shown("models")[1:]
    assert [line[1] for line in models] == ["60", "60"]
    events = [line for line in shown("events")[1:] if line[1].startswith("execution")]
    assert [line[5] for line in events] == ["40", "80"]
    assert [line[-1] for line in events] == ["done", "done"]


def write_run(directory: Path) -> None:
    """Write the checkpoint of a run of one minute, with hostile answers, failures and limits."""
    job = Job(
        name="hostile <b>job</b>",
        input=Input(path=("in.jsonl",)),
        model=Model(names=("m", "n")),
        prompt=PromptTemplates(user="{{ text }} </pre><script>document.title = 'owned'</script>"),
    )
    directory.mkdir()
    outcomes = []
    for row, request in enumerate(requests(*(f"p{row}" for row in range(ROWS)), model="m")):
        text = ATTACK if row == ROWS - 1 else f"answer {row}"
        body = orjson.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
        settled = answer(request, body=body, finished_at_ms=1_000_000 + 1_000 * row, latency_s=2.5, throttled=row % 2)
        if row == 7:
            settled = failure(request)._replace(error=ATTACK, finished_at_ms=1_007_000)
        outcomes.append(settled._replace(model="mn"[row % 2]))
    settle(directory, outcomes)
    with Store(directory) as store:
        store.set_fact(facts.JOB, job_to_dict(job))
        for second in range(0, 60, 5):
            store.note_limit(1_000_000 + 1_000 * second, 4 + second % 3, "probe")


@pytest.fixture
def page(batchrun: Any) -> str:
    """The address of a report on disk."""
    write_run(Path("out"))
    assert batchrun("report", "out").code == 0
    return Path("out/report.html").absolute().as_uri()


def test_the_page_opens_from_disk_without_an_error_and_draws_its_plots(browser: Browser, page: str) -> None:
    """The lines of each plot have a length and a visible colour, in the light and in the dark scheme."""
    browser.open(page)
    assert browser.log == []
    assert browser.ask("performance.getEntriesByType('resource').length") == 0, "it loads something"
    assert [svg.is_displayed() for svg in browser.all(".figures svg")] == [True, False] * 4, "the others are for phones"
    lengths = "[...group.querySelectorAll('path')].reduce((sum, path) => sum + path.getTotalLength(), 0)"
    drawn = browser.ask(f"[...document.querySelectorAll('.wide .series')].map(group => {lengths})")
    assert len(drawn) == 8, "rates 2, in flight 3, latency 1, tokens 2"
    assert min(drawn) > 100
    ground = "getComputedStyle(document.body).backgroundColor"
    label = "getComputedStyle(document.querySelector('.wide text')).fill"
    seen = []
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        seen.append((browser.ask(ground), browser.ask(label)))
    (light, light_label), (dark, dark_label) = seen
    assert brightness(light) > 230 > 50 > brightness(dark)
    assert brightness(light_label) < 128 < brightness(dark_label)


def brightness(colour: str) -> float:
    """Return the mean of `rgb(r, g, b)`."""
    parts = [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(parts) / 3


def test_a_search_finds_a_row_and_its_hostile_text_is_shown_as_text(browser: Browser, page: str) -> None:
    """In the table, in an opened row, among the failures and in the templates."""
    browser.open(page)
    assert len(browser.rows()) == 25
    [search] = browser.all("#search")
    search.send_keys("NEEDLE answer")
    assert browser.rows() == []
    search.clear()
    search.send_keys("needle")
    assert [ATTACK in text for text in browser.rows()] == [True, True], "the answer and the failure"
    browser.all("#rows tr.row")[1].click()
    [more] = browser.all("#rows tr.more")
    assert ATTACK in more.text
    assert ATTACK in browser.all("#failures")[0].text
    assert "<b>job</b>" in browser.all("h1")[0].text
    assert browser.all("img, h1 b") == []
    assert browser.ask("document.scripts.length") == 2
    assert browser.title == "hostile <b>job</b> · batchrun"
    assert browser.log == []


def test_rows_can_be_filtered_sorted_and_paged(browser: Browser, page: str) -> None:
    """With the usual controls of a table."""
    browser.open(page)
    browser.all("#next")[0].click()
    assert browser.all("#place")[0].text == "26 – 50 of 60"
    browser.all("#rows th button")[0].click()
    browser.all("#rows th button")[0].click()
    assert browser.rows()[0].startswith("59 ")
    assert browser.all("#place")[0].text == "1 – 25 of 60"
    [failed] = browser.all("#status option[value='kind bad_request']")
    failed.click()
    assert [text.split()[0] for text in browser.rows()] == ["7"]
    browser.all("#status option[value='']")[0].click()
    browser.all("#model option[value=n]")[0].click()
    assert browser.all("#place")[0].text == "1 – 25 of 30"


def test_an_injected_script_does_not_run(browser: Browser, page: str, tmp_path: Path) -> None:
    """The policy of the page is the second protection after the escapes."""
    broken = tmp_path / "broken.html"
    whole = Path("out/report.html").read_text(encoding="utf-8")
    broken.write_text(whole.replace("<header>", f"<header>{ATTACK}", 1), encoding="utf-8")
    browser.open(broken.as_uri())
    deadline_s = time.monotonic() + 60
    while len(refused := browser.log) == 0:
        assert time.monotonic() < deadline_s, "nothing was refused"
        time.sleep(0.01)
    assert browser.title != "owned"
    assert "Content Security Policy" in str(refused)
