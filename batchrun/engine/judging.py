"""Has the answers of a run judged by a model: a run of its own in RUN/judge, after the answers and under their lock."""

import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from batchrun.endpoint.access import access_for
from batchrun.engine.caps import cap_usd_of
from batchrun.engine.deadline import next_time_s
from batchrun.engine.options import Options
from batchrun.engine.threads import in_thread
from batchrun.errors import BatchrunError, JobError
from batchrun.job.judging import ANSWERS, JUDGE, judge_job
from batchrun.job.sections import Job, Limits
from batchrun.prompts.judge_template import check_judge
from batchrun.records import Figures
from batchrun.report.bar import Progress, Silence
from batchrun.report.texts import counted
from batchrun.results.judge_input import write_judge_input
from batchrun.results.state import judge_entry
from batchrun.results.summary import Summary

Execute = Callable[[Job, Options], Awaitable[Summary]]


class Judged(NamedTuple):
    """How the judging ended."""

    summary: Summary | None = None
    """Of the judge's run; None where there was nothing to judge, or it could not begin."""
    problem: BatchrunError | None = None
    """Why it could not begin, or broke off."""


class Judging:
    """The judging of one execution's answers."""

    def __init__(self, job: Job, options: Options, execute: Execute) -> None:
        """Check the judge; nothing is read or written yet.

        Args:
            job: has a judge.
            options: of the run.
            execute: runs a job.

        Raises:
            JobError: a setting of the judge is wrong, or a price is missing to keep the cap.
            EndpointRefused: no key was found for its endpoint.
        """
        self._job, self._options, self._execute = job, options, execute
        self._began_s, self._began_at_s = time.monotonic(), time.time()
        check_judge(job)
        cap_usd_of(judge_job(job), simulated=options.simulate)
        if not options.simulate:
            for endpoint in judge_job(job).endpoints.values():
                access_for(endpoint)

    async def judge(self) -> Judged:
        """Judge the answers that the checkpoint has; what was judged before is not sent again."""
        job, say = self._job, self._options.progress.say
        path = job.run_directory / JUDGE / ANSWERS
        try:
            answers = await in_thread(lambda: write_judge_input(job, job.run_directory, path))
            if not answers:
                return Judged()
            limits = self._limits()
            done = judge_entry(job.run_directory)
            if done is None or done["completed"] < answers:
                say(f"judging {counted(answers, 'answer')} with {job.judge.model}")
            return Judged(await self._execute(judge_job(job, limits), self._judge_options()))
        except BatchrunError as problem:
            return Judged(problem=problem)

    def _limits(self) -> Limits:
        """Return the job's limits, with the time that is left.

        Raises:
            JobError: no time is left.
        """
        limits = self._job.limits
        if limits.stop_at is not None and next_time_s(limits.stop_at, self._began_at_s) <= time.time():
            raise JobError(f"stop_at {limits.stop_at} has come; run the same command again to judge the answers")
        if limits.max_duration_s is None:
            return limits
        left_s = limits.max_duration_s - (time.monotonic() - self._began_s)
        if left_s <= 0:
            raise JobError("max_duration is over; run the same command again to judge the answers")
        return dataclasses.replace(limits, max_duration_s=left_s)

    def _judge_options(self) -> Options:
        return dataclasses.replace(
            self._options,
            restart=False,
            progress=_Prefixed(self._options.progress),
            stdin=None,
            scorer=None,
            on_start=lambda: None,
        )


def with_judging(summary: Summary, judged: Judged | None) -> Summary:
    """Return the summary of a run with how its judging ended.

    Args:
        summary: of the answers.
        judged: None where no judge was asked.
    """
    if judged is None:
        return summary
    if judged.problem is not None:
        message = f"the answers are complete, but not judged: {judged.problem}"
        return dataclasses.replace(summary, state="stopped", exit_code=judged.problem.exit_code, message=message)
    its = judged.summary
    if its is None:
        return summary
    if its.state != "completed":
        message = f"the answers are complete; of their judging, {its.message}"
        return dataclasses.replace(summary, state=its.state, exit_code=its.exit_code, message=message)
    return dataclasses.replace(summary, exit_code=summary.exit_code or its.exit_code)


class _Prefixed(Silence):
    """Shows the progress of the judge where that of the answers was shown."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def begin(self, done_before: int) -> None:
        """Start over, with the judge's rows."""
        self._progress.__exit__(None, None, None)
        self._progress.begin(done_before)

    def show(self, figures: Figures) -> None:
        """Show the figures of the judge."""
        self._progress.show(figures)

    def say(self, message: str) -> None:
        """Print a message about the judge."""
        self._progress.say(f"judge: {message}")
