"""A run as a notebook shows it."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from batchrun.api.html import line, shown_columns, table
from batchrun.job.sections import Input, Job
from batchrun.records import AnswerSource, ModelTotals
from batchrun.results.columns import results_schema
from batchrun.results.recorded import Status
from batchrun.results.summary import Summary, summarize


def summary(completed: int = 20, failed: int = 0, **changes: Any) -> Summary:
    totals = {AnswerSource("m"): ModelTotals(requests=completed + failed, completed=completed, failed=failed)}
    job = Job(input=Input(path=("x",)))
    return summarize(job, Path("runs/a"), Status(state="completed", **changes), totals, simulated=True)


def rows(count: int, **columns: Any) -> pa.Table:
    return pa.table({"row": range(count), "text": ["x"] * count, "error": pa.nulls(count, pa.string())} | columns)


def test_a_line_has_counts_failures_and_cost() -> None:
    assert line(summary()) == "runs/a: completed, 20 of 20 rows completed, simulated"
    assert line(summary(failed=2)) == "runs/a: completed, 20 of 22 rows completed, 2 failed, simulated"


def test_the_columns_that_tell_most_are_shown() -> None:
    """A few of the input, and the columns of the schema instead of the raw answer."""
    inputs = pa.schema([(name, pa.string()) for name in ("a", "__index_level_0__", "b", "c", "d", "e")])
    names = results_schema(inputs).names
    assert shown_columns(names) == ["row", "a", "b", "c", "d", "status", "response", "error"]
    typed = [*names[: names.index("tool_calls")], "label", *names[names.index("tool_calls") :], "score"]
    assert shown_columns(typed) == ["row", "a", "b", "c", "d", "status", "label", "error", "score"]


def test_what_answers_contain_is_only_text() -> None:
    """Markup in an answer is shown, not run; long texts are cut; bytes are not shown."""
    page = table(summary(1), rows(1, text=["<script>x</script>" + "y" * 900], image=[b"\x89PNG"]), only=None)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "(of 918 characters)" in page
    assert "(bytes)" in page


def test_it_says_which_rows_are_shown_and_why_the_run_stopped() -> None:
    assert "the first 10 of 20 rows" in table(summary(), rows(10), only=None)
    assert "all 2 failed rows" in table(summary(failed=2), rows(2), only="failed")
    assert "<div>out of money &amp; time</div>" in table(summary(message="out of money & time"), rows(1), only=None)


def test_errors_are_shown_where_there_are_any() -> None:
    assert "<th>error</th>" not in table(summary(1), rows(1), only=None)
    assert "<th>error</th>" in table(summary(1), rows(1, error=["broken"]), only=None)
