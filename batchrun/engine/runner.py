"""Runs a job: on an event loop of its own, or in the caller's; against the endpoint, or the embedded simulator."""

import asyncio
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from batchrun.endpoint.sockets import SPARE, room_for
from batchrun.engine.execution import Execution, Options
from batchrun.job.sections import Job, Publish
from batchrun.publish.worker import Publishing
from batchrun.results.summary import Summary


def run(job: Job, options: Options | None = None) -> Summary:
    """Run a job to its end; return how it ended. Run again, it goes on where it stopped.

    Works in a notebook too: where an event loop runs already, the job gets a thread and a loop of its own.

    Raises:
        BatchrunError: the job could not be started, or its directory could not be written.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_in_new_loop(job, options)
    with ThreadPoolExecutor(1, "batchrun") as thread:
        return thread.submit(_run_in_new_loop, job, options).result()


def _run_in_new_loop(job: Job, options: Options | None) -> Summary:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(arun(job, options))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a fast event loop; None where there is only asyncio's own."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


async def arun(job: Job, options: Options | None = None) -> Summary:
    """As `run`, in the running event loop."""
    options = options or Options()
    job = _with_room(job, options)
    if job.publish == Publish():
        return await Execution(job, options).execute()
    return await _published(job, options)


async def _published(job: Job, options: Options) -> Summary:
    """Execute a job, and have it published where it says so: whatever comes of that, the run ends as it did.

    What was not published is told in the summary's message, for those as well who want to hear of errors only.
    """
    publishing = Publishing(job, options.progress.say)
    on_start = options.on_start
    options = dataclasses.replace(options, on_start=lambda drain: publishing.begin(drain, on_start))
    try:
        summary = await Execution(job, options).execute()
    except BaseException:
        publishing.abandon()
        raise
    unpublished = await publishing.finish(is_completed=summary.state == "completed")
    return dataclasses.replace(summary, message="\n".join(filter(None, [summary.message, unpublished])))


def _with_room(job: Job, options: Options) -> Job:
    """Return the job with no more connections than this process may have open. Simulated, each has two ends here."""
    wanted, ends = job.limits.max_concurrency, 2 if options.simulate else 1
    room = max(1, room_for(wanted * ends) // ends)
    if room >= wanted:
        return job
    cure = f"allow this process more open files: ulimit -n {wanted * ends + SPARE}"
    options.progress.say(f"note: no more than {room:,} requests at once, instead of {wanted:,}; {cure}")
    return dataclasses.replace(job, limits=dataclasses.replace(job.limits, max_concurrency=room))
