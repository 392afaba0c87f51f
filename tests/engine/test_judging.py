"""The judging of a run's answers, apart from what is sent."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from batchrun.engine.judging import Judged, Judging, with_judging
from batchrun.engine.options import Options
from batchrun.errors import EndpointRefused, JobError
from batchrun.job.judge import Judge
from batchrun.job.sections import Input, Job, Limits, Model, Output
from batchrun.report.bar import Silence
from batchrun.results.recorded import Status
from batchrun.results.summary import Summary, summarize

WRITTEN = "batchrun.engine.judging.write_judge_input"


def job(**limits: Any) -> Job:
    return Job(
        input=Input(path=("in.jsonl",)),
        model=Model(names=("m",)),
        judge=Judge(model="j"),
        limits=Limits(**limits),
        output=Output(dir="out"),
    )


def ended(state: str, exit_code: int, message: str = "") -> Summary:
    return summarize(job(), Path("out"), Status(state=state, exit_code=exit_code, message=message), {})


@pytest.mark.parametrize(
    ("judged", "state", "exit_code", "message"),
    [
        (None, "completed", 0, ""),
        (Judged(), "completed", 0, ""),
        (Judged(ended("completed", 0)), "completed", 0, ""),
        (Judged(ended("completed", 1)), "completed", 1, ""),
        (
            Judged(ended("stopped", 5, "3 rows are left; the cap is reached")),
            "stopped",
            5,
            "the answers are complete; of their judging, 3 rows are left; the cap is reached",
        ),
        (Judged(problem=JobError("no")), "stopped", 2, "the answers are complete, but not judged: no"),
        (Judged(problem=EndpointRefused("no")), "stopped", 4, "the answers are complete, but not judged: no"),
    ],
)
def test_a_run_has_ended_only_when_its_answers_are_judged(
    judged: Judged | None, state: str, exit_code: int, message: str
) -> None:
    """What stopped the judge stopped the run; a row that could not be judged counts as a failed one."""
    summary = with_judging(ended("completed", 0), judged)
    assert (summary.state, summary.exit_code, summary.message) == (state, exit_code, message)
    assert with_judging(ended("completed", 1), Judged(ended("completed", 0))).exit_code == 1


class Seen(Silence):
    """Notes what is shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __exit__(self, *_: object) -> None:
        self.seen.append("end")

    def begin(self, done_before: int) -> None:
        self.seen.append(f"begin {done_before}")

    def say(self, message: str) -> None:
        self.seen.append(message)


def test_the_judge_is_run_with_the_time_that_is_left_and_its_own_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages have a mark, and it neither restarts nor installs handlers of signals."""
    monkeypatch.setattr(WRITTEN, lambda *_: 7)
    asked: list[tuple[Job, Options]] = []

    async def execute(job: Job, options: Options) -> Summary:
        asked.append((job, options))
        options.progress.begin(3)
        options.progress.say("about 7 requests")
        return ended("completed", 0)

    progress = Seen()
    options = Options(restart=True, retry_failed=True, progress=progress, simulate=True)
    judging = Judging(job(max_duration_s=100, max_cost_usd=None), options, execute)
    assert asyncio.run(judging.judge()).problem is None
    [(its_job, its_options)] = asked
    assert 50 < (its_job.limits.max_duration_s or 0) <= 100
    assert (its_options.restart, its_options.retry_failed, its_options.simulate) == (False, True, True)
    assert progress.seen == ["judging 7 answers with j", "end", "begin 3", "judge: about 7 requests"]


def test_without_answers_or_time_nothing_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline is one for both."""

    async def execute(job: Job, options: Options) -> Summary:
        raise AssertionError("must not be run")

    monkeypatch.setattr(WRITTEN, lambda *_: 0)
    assert asyncio.run(Judging(job(), Options(simulate=True), execute).judge()) == Judged()
    monkeypatch.setattr(WRITTEN, lambda *_: 7)
    late = Judging(job(max_duration_s=1e-9), Options(simulate=True), execute)
    assert "max_duration is over" in str(asyncio.run(late.judge()).problem)


def test_a_cap_that_could_not_be_kept_is_refused_at_once() -> None:
    """The judge's price is needed as much as the model's."""

    async def execute(job: Job, options: Options) -> Summary:
        raise AssertionError("must not be run")

    capped = job(max_cost_usd=1)
    with pytest.raises(JobError, match="the price of j is not known"):
        Judging(dataclasses.replace(capped), Options(), execute)
