"""The texts of messages about a run."""

from pathlib import Path

from batchrun.job.sections import Input, Job, Model
from batchrun.records import AnswerSource, ModelTotals, RowCount
from batchrun.report.notice import Notice, ended_notice, failed_notice, paused_notice
from batchrun.results.recorded import Recorded, Status
from batchrun.results.summary import Summary, summarize

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
JOB = Job(name="labels", input=Input(path=("in.jsonl",)), model=Model(names=(MODEL,)))


def summary(state: str, exit_code: int, message: str = "", *, simulated: bool = False) -> Summary:
    """Return the summary of a run of 1,500 rows that has settled 1,200."""
    counts = {"requests": 1200, "completed": 1199, "failed": 1, "attempts": 1200}
    totals = {AnswerSource(MODEL): ModelTotals(**counts, prompt_tokens=1_000_000, total_tokens=1_000_000)}
    status = Status(state=state, exit_code=exit_code, message=message)
    recorded = Recorded(total=RowCount(1500, is_exact=True))
    return summarize(JOB, Path("runs/labels"), status, totals, simulated=simulated, recorded=recorded)


def test_the_end_comes_with_counts_cost_reason_and_place() -> None:
    """And whether it needs anybody: only a run with all rows completed does not."""
    stopped = ended_notice("labels", summary("stopped", 5, "the cap is reached"), "host:/runs/labels")
    assert stopped == Notice(
        "batchrun: labels stopped",
        "1,199 of 1,500 rows completed, 1 failed\ncost: 0.2200 USD\nthe cap is reached\nresults: host:/runs/labels",
    )
    assert ended_notice("labels", summary("completed", 0), "").is_good
    assert not ended_notice("labels", summary("completed", 1), "").is_good
    assert "cost: none, the simulator" in ended_notice("labels", summary("completed", 0, simulated=True), "").body


def test_a_failure_and_a_long_pause_say_why() -> None:
    assert failed_notice("labels", "the disk is full", "host:/r").body == "the disk is full\nrun directory: host:/r"
    paused = paused_notice("labels", "connection refused", 905.0, "host:/r")
    assert "paused for 4.0 s: " in paused_notice("labels", "connection refused", 4.0, "host:/r").body
    assert paused.title == "batchrun: labels is paused"
    assert paused.body.startswith("paused for 15 min 05 s: connection refused\nThe run waits and resumes by itself.")
