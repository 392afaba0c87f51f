"""`run` and `arun`, as Python programs and notebooks call them."""

import asyncio
import contextvars
import dataclasses

from batchrun.api.thread import INTERRUPTED, Relay, RunThread, handling_interrupts
from batchrun.api.words import errors_in_python, in_python
from batchrun.engine import runner
from batchrun.engine.interruption import ENDED, Interruption
from batchrun.engine.options import Options
from batchrun.job.sections import Job
from batchrun.report.notebook_bar import is_notebook
from batchrun.results.summary import Summary


class Interrupted(KeyboardInterrupt):
    """A run was interrupted, and has drained: the answers in flight were kept, and the results are written.

    The message says how to resume. The rest of a notebook that runs as a whole is not executed.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class InterruptedCoroutine(asyncio.CancelledError):
    """The same in a coroutine, where a KeyboardInterrupt would end the event loop."""

    def _render_traceback_(self) -> list[str]:
        return [f"Interrupted: {self}"]


def run(job: Job, options: Options | None = None) -> Summary:
    """Run a job and return its summary. A second call resumes a run that was stopped.

    Works in a notebook too, where it shows a bar. Interrupting drains the run: the answers in flight are waited for and
    the results are written. Interrupting again stops at once.

    Raises:
        BatchrunError: the job cannot start, or its directory cannot be written.
        Interrupted: the run was interrupted; it is a KeyboardInterrupt.
    """
    thread = RunThread(job, _for_one_run(options))
    with errors_in_python():
        try:
            summary = thread.result()
        except asyncio.CancelledError:
            raise Interrupted(_stopped_at_once(job)) from None
    if thread.interrupts:
        raise Interrupted(_drained(summary))
    return _in_python(summary)


async def arun(job: Job, options: Options | None = None) -> Summary:
    """Do the same as `run`, in the running event loop. In a notebook, interrupting drains too.

    Raises:
        BatchrunError: the job cannot start, or its directory cannot be written.
        CancelledError: the task was cancelled, or the cell was interrupted and the run has drained.
    """
    options = _for_one_run(options)
    shown = options.progress
    options = dataclasses.replace(options, progress=Relay(shown, lambda call: call()))
    with shown, errors_in_python():
        if is_notebook():
            return _in_python(await _interruptible(job, options))
        return _in_python(await runner.arun(job, options))


def _for_one_run(options: Options | None) -> Options:
    """Return options that no run has used: in a notebook, the same ones are passed again and again."""
    options = options or Options()
    is_used = options.interruption.phase is ENDED
    return dataclasses.replace(options, interruption=Interruption()) if is_used else options


async def _interruptible(job: Job, options: Options) -> Summary:
    """Run with the first interrupt of the cell draining the run, and the second one cancelling it."""
    loop = asyncio.get_running_loop()
    execution = loop.create_task(runner.arun(job, options))
    context = contextvars.copy_context()  # a notebook knows by it to which cell an output belongs
    interrupts = 0

    def stop() -> None:
        if interrupts == 1:
            options.interruption.interrupt(INTERRUPTED)
        else:
            execution.cancel()

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        loop.call_soon_threadsafe(stop, context=context)

    with handling_interrupts(interrupt, always=True):
        try:
            summary = await execution
        except asyncio.CancelledError:
            execution.cancel()  # if it was this task that was cancelled
            if interrupts:
                raise InterruptedCoroutine(_stopped_at_once(job)) from None
            raise
    if interrupts:
        raise InterruptedCoroutine(_drained(summary))
    return summary


def _in_python(summary: Summary) -> Summary:
    return dataclasses.replace(summary, message=in_python(summary.message))


def _drained(summary: Summary) -> str:
    return f"{in_python(summary.message)}; what is settled: batchrun.open_run({summary.directory!r})"


def _stopped_at_once(job: Job) -> str:
    return f"{job.run_directory}: stopped at once; make the same call again to resume"
