"""The content of report.html, from run directories with chosen outcomes."""

import html
import re
from pathlib import Path

import pytest
from harness.settled import failed, settle

from batchrun.checkpoint.store import Store
from batchrun.errors import RunDirectoryError
from batchrun.report.content import write_report

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


@pytest.mark.parametrize(
    ("deaths", "shown"), [(0, "executions 1 "), (2, "executions 3, 2 died ")], ids=["none died", "two died"]
)
def test_the_number_of_executions_is_shown(deaths: int, shown: str) -> None:
    """An execution without an end has died."""
    settle_three()
    for _ in range(deaths):
        with Store(OUT) as store:
            store.history.begin_execution(1_000)
    with Store(OUT) as store:
        store.history.begin_execution(2_000)
        store.history.end_execution(3_000, "completed")
    assert shown in written()


def test_the_time_of_all_executions_is_shown() -> None:
    """The time between them does not count."""
    settle_three()
    for start_ms in (1_000, 1_000_000):
        with Store(OUT) as store:
            store.history.begin_execution(start_ms)
            store.history.end_execution(start_ms + 90_000, "stopped")
    assert "running time, 2 executions 3 min 00 s" in written()


def test_a_finished_run_with_failed_rows_is_not_shown_as_done() -> None:
    """Its state is not green."""
    settle_three()
    (OUT / "run.json").write_text('{"state": "completed"}')
    assert "finished, 1 failed" in written()
    assert 'class="state open"' in (OUT / "report.html").read_text(encoding="utf-8")


def test_a_run_without_a_history_shows_no_executions() -> None:
    """Older versions did not record it."""
    settle_three()
    assert "executions" not in written()


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
