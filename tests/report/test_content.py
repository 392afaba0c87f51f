"""The content of report.html, from run directories with chosen outcomes."""

import html
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.settled import HEAD, TWO_ENDPOINTS, body_of, failed, settle

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.checkpoint.store import Store
from batchrun.errors import RunDirectoryError
from batchrun.records import Request, Usage
from batchrun.report.content import write_report
from batchrun.results.export import export
from batchrun.results.view import View

OUT = Path("out")

JOB = """
[prompt]
user = "Translate: {{ prompt }}"
[prices.m]
input_usd_per_mtok = 1000.0
output_usd_per_mtok = 2000.0
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in an empty folder."""
    monkeypatch.chdir(tmp_path)


def settle_three(job: str = "") -> None:
    """Write a run with two completed rows and a failed one."""
    rows = [{"prompt": text} for text in ("one", "two", "three")]
    settle(rows, lambda request: failed("bad_request", 400, error="too odd") if request.row == 1 else "yes", job)


def written() -> str:
    """Write the report; return the text of its page, with single spaces."""
    page = write_report(OUT).path.read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page.partition("<script")[0], flags=re.DOTALL)
    return " ".join(html.unescape(body).split())


def test_the_totals_are_those_of_the_outcomes() -> None:
    """Each completed row has 3 tokens in and 2 tokens out."""
    settle_three(JOB)
    text = written()
    assert "rows completed 2 rows failed 1 tokens in 6 tokens out 4 cost 0.0140 USD requests sent 3" in text
    assert "bad_request 1 too odd" in text


def test_without_a_price_the_cost_is_unknown() -> None:
    """It is not shown as zero."""
    settle_three()
    assert "cost no price known" in written()


def test_the_settings_of_the_job_are_shown() -> None:
    """Models, endpoint, input, prices and the template."""
    settle_three(JOB)
    text = written()
    assert "models m endpoint http://127.0.0.1:1/v1" in text
    assert "input in.jsonl" in text
    assert "m: 1000 in, 2000 out" in text
    assert "Translate: {{ prompt }}" in text


def test_a_long_template_is_cut_and_states_its_length() -> None:
    """Otherwise a template with many examples would fill the page."""
    settle_three(f'[prompt]\nuser = "{{{{ prompt }}}} {"x" * 30_000}"\n')
    assert f"{'x' * 100}… (of 30,013 characters)" in written()


def lines_of(table: str) -> list[list[str]]:
    """Return the texts of the cells of a table of the page, without its head."""
    page = write_report(OUT).path.read_text(encoding="utf-8")
    [found] = re.findall(rf'<table id="{table}"[^>]*>.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line, re.DOTALL) for line in found.split("</tr>")[:-1]]
    return [[" ".join(html.unescape(re.sub("<[^>]*>", " ", cell)).split()) for cell in line] for line in cells]


def test_executions_pauses_and_the_time_between_are_shown() -> None:
    """Their times are those of the history in the checkpoint."""
    settle_three()
    with Store(OUT) as store:
        store.history.begin_execution(1_000)
        store.history.paused("m", "http_503", 2_000, "overloaded")
        store.history.seen(61_000)
    with Store(OUT) as store:
        store.history.begin_execution(3_661_000)
        store.history.end_execution(3_662_500, "completed")
    lines = lines_of("events")
    assert [line[1] for line in lines] == ["execution 1", "paused", "no process", "execution 2"]
    assert [cell for line in lines for cell in line if re.fullmatch(r"[\d.]+ (s|min \d\d s|h \d\d min)", cell)] == [
        "1 min 00 s",
        "59.0 s",
        "1 h 00 min",
        "1.5 s",
    ]
    assert [line[-1] for line in lines[1:]] == ["http_503: overloaded", "", "done"]
    assert "running time, 2 executions 1 min 02 s of it paused 59.0 s" in written()
    moments = [datetime.strptime(line[2], "%Y-%m-%d %H:%M:%S").astimezone().timestamp() for line in lines]
    assert moments == [1, 2, 61, 3661]


def test_several_endpoints_have_a_table_and_an_event_for_each_outage() -> None:
    """Each with its own rows and cost."""
    settle(
        [{"prompt": str(row)} for row in range(40)],
        lambda request: {
            "endpoint": "west" if request.row % 4 else "east",
            "body": body_of("yes"),
            "usage": Usage(1_000_000, 0),
            "finished_at_ms": 1_000 * request.row,
        },
        head=TWO_ENDPOINTS,
    )
    with Store(OUT) as store:
        store.history.reachable.serving = lambda model: ("east", "west")
        store.history.begin_execution(1_000)
        store.history.paused("m", "connection", 2_000, "connection refused", "west")
        store.history.end_execution(40_000, "completed")
        store.note_limit(1_000, 20, "start", "east")
    assert [line[:3] for line in lines_of("endpoints")] == [
        ["east", "10", "10.00"],
        ["west (away)", "30", "60.00"],
    ]
    assert [line[2] for line in lines_of("models")] == ["70.00"]
    assert [(line[1], line[-1]) for line in lines_of("events")] == [
        ("execution 1", "done"),
        ("west away", "connection: connection refused"),
    ]
    assert "Requests in flight at each endpoint east" in written()


def test_one_endpoint_has_no_table_of_its_own() -> None:
    settle_three()
    assert "Endpoints" not in written()


def test_the_time_of_all_executions_is_shown() -> None:
    """The time between them does not count."""
    settle_three()
    for start_ms in (1_000, 1_000_000):
        with Store(OUT) as store:
            store.history.begin_execution(start_ms)
            store.history.end_execution(start_ms + 90_000, "stopped")
    assert "running time, 2 executions 3 min 00 s" in written()


def test_every_throttled_request_is_counted_whatever_gaps_there_are() -> None:
    """The plot of a run over days has shortened gaps."""

    def answer(request: Request) -> dict[str, Any]:
        day = request.row // 10
        times = {"finished_at_ms": 100_000_000 * day + 1_000 * request.row + 5_000, "latency_s": 1.0}
        return {"body": body_of("yes"), "throttled": request.row, **times}

    settle([{"prompt": str(row)} for row in range(40)], answer)
    for day in range(4):
        with Store(OUT) as store:
            store.history.begin_execution(100_000_000 * day + 10_000 * day)
            store.history.end_execution(100_000_000 * day + 10_000 * day + 9_000, "stopped")
    assert f"; {sum(range(40))} throttled requests" in written()


def test_a_finished_run_with_failed_rows_is_not_shown_as_done() -> None:
    """Its state is not green."""
    settle_three()
    (OUT / "run.json").write_text('{"state": "completed"}')
    assert "finished, 1 failed" in written()
    assert 'class="state open"' in (OUT / "report.html").read_text(encoding="utf-8")


def test_a_run_without_a_history_shows_no_executions() -> None:
    """Older versions did not record it."""
    settle_three()
    text = written()
    assert "execution" not in text
    last = datetime.fromtimestamp(1.002).astimezone()
    assert f"last answer {last:%Y-%m-%d %H:%M:%S %Z}" in text


LABELS = """
[prompt]
user = "{{ text }}"
[evaluate]
target = "gold"
scorer = "json_field"
field = "label"
[response.schema]
type = "object"
required = ["label"]
properties.label = { enum = ["good", "bad", "odd"] }
properties.stars = { type = "integer" }
properties.why = { type = "string" }
"""


def settle_labels(*labels: str, head: str = HEAD, job: str = LABELS) -> None:
    """Write a run with these labels as answers to each prompt: one text for each, one letter for each answer."""

    def answer(request: Request) -> str | dict[str, Any]:
        label = labels[request.row][int(request.model[1:] or 0) * 2 + request.sample]
        if label == "-":
            return failed("timeout", error="too slow")
        text = {"label": {"g": "good", "b": "bad"}[label], "stars": request.row, "why": f"because of {request.row}"}
        return orjson.dumps(text).decode()

    settle([{"text": f"text {row}", "gold": "good"} for row in range(len(labels))], answer, job, head=head)


FOUR = HEAD.replace('["m"]', '["m0", "m1"]\nnum_samples = 2')


def data() -> dict[str, Any]:
    """Return what the page's script gets."""
    page = write_report(OUT).path.read_text(encoding="utf-8")
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    found = orjson.loads(text)
    assert isinstance(found, dict)
    return found


def charts() -> dict[str, list[str]]:
    """Return the charts of the answers: name → the texts of their lines."""
    page = write_report(OUT).path.read_text(encoding="utf-8")
    found = {}
    for chart in re.findall(r'<figure class="chart">(.*?)</figure>', page, re.DOTALL):
        [name] = re.findall(r"<h3>(.*?)</h3>", chart)
        lines = re.findall(r'<tr><th scope="row">.*?</tr>', chart, re.DOTALL)
        found[name] = [" ".join(html.unescape(re.sub("<[^>]*>", " ", line)).split()) for line in lines]
    return found


def test_typed_answers_have_a_distribution_for_each_column() -> None:
    """Of completed rows; free texts have none."""
    settle_labels("g", "b", "g", "-", "g")
    assert charts() == {
        "label": ["good 3 75 %", "bad 1 25 %"],
        "stars": ["0 1 25 %", "1 1 25 %", "2 1 25 %", "4 1 25 %"],
        "finish_reason": ["stop 4 100 %"],
    }


def test_short_answers_without_a_schema_are_labels_too() -> None:
    """They need no schema for that."""
    settle([{"prompt": text} for text in "abcd"], lambda request: "no" if request.row else "yes")
    assert charts()["response"] == ["no 3 75 %", "yes 1 25 %"]


def test_different_answers_are_free_texts() -> None:
    """They have no bars."""
    settle([{"prompt": text} for text in "abcd"], lambda request: f"answer {request.row}")
    assert list(charts()) == ["finish_reason"]


def test_each_model_has_its_own_distribution() -> None:
    """Next to one another, with its shares."""
    settle_labels("ggbb", "ggbg", head=FOUR)
    assert charts()["label"] == ["good 4 100 % 1 25 %", "bad 0 0 % 3 75 %"]


def test_all_answers_to_a_prompt_and_their_differences_are_in_the_table() -> None:
    """A failed answer is not a difference."""
    settle_labels("gggg", "ggbb", "gbgg", "-ggg", head=FOUR)
    shown = data()
    assert [(len(answers), size) for _, answers, size in shown["prompts"]] == [(4, 0), (4, 1.5), (4, 0.25), (4, 0)]
    assert shown["compared"] == ["label", "stars"]
    assert (shown["texts"], shown["target"], shown["typed"]) == (["text"], "gold", ["label", "stars", "why"])
    text = written()
    assert "Models disagree on 1 of 4 prompts; on 1 more, answers of the same model differ." in text
    assert "All 4 prompts, 16 answers." in text


def test_the_page_names_the_scorer_that_was_used() -> None:
    """Of a function, not the job's."""
    settle_labels("g", "b")
    assert 'Scored by json_field (field = "label"), compared with the column gold.' in written()
    assert "not used" not in written()
    export(OUT, View(scorer=NamedFunction("my:score", lambda row: 0.5)))
    text = written()
    assert "Scored by the function my:score." in text
    assert "evaluation in the job, not used for these results" in text


def test_each_model_has_its_speed_over_its_own_time() -> None:
    """From the first request to the last answer; latencies are those of completed rows."""

    def answer(request: Request) -> dict[str, Any]:
        slow = request.model == "m1"
        finished_ms = 100_000 + (10_000 if slow else 1_000) * (request.row + 1)
        times = {"finished_at_ms": finished_ms, "latency_s": 10.0 if slow else 1.0}
        return {"body": body_of("yes"), "usage": Usage(3, 20, 23, None, None), **times}

    head = HEAD.replace('["m"]', '["m0", "m1"]')
    settle([{"prompt": str(row)} for row in range(12)], answer, head=head)
    fast, slow = lines_of("models")
    assert fast[:7] == ["m0", "12", "no price known", "60", "20", "1", "1"]
    assert slow[:7] == ["m1", "12", "no price known", "6", "2", "10", "10"]


def test_missing_results_are_written_first_and_fresh_ones_are_kept() -> None:
    """The messages of the export are returned."""
    settle_three()
    Path("in.jsonl").unlink()
    assert write_report(OUT).notices == ["the results are without the input's columns: in.jsonl: no such file"]
    written_ns = (OUT / "results.parquet").stat().st_mtime_ns
    assert write_report(OUT).notices == []
    assert (OUT / "results.parquet").stat().st_mtime_ns == written_ns


def test_unreadable_results_are_an_error_with_the_cure() -> None:
    """An earlier report stays."""
    settle_three()
    report = write_report(OUT).path
    before = report.read_bytes()
    (OUT / "results.parquet").write_bytes(b"PAR1 and no footer")
    with pytest.raises(RunDirectoryError, match=r"out/results\.parquet: cannot be read .*batchrun export out$"):
        write_report(OUT)
    assert report.read_bytes() == before
