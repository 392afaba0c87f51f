"""Runs a job and has it published: on a new event loop, or in the caller's."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import uvloop

from batchrun.endpoint.sockets import SPARE, room_for
from batchrun.engine.earlier import refuse_moved
from batchrun.engine.execution import Execution
from batchrun.engine.judging import Judging
from batchrun.engine.notices import Notices
from batchrun.engine.options import Options
from batchrun.engine.prepared import Team
from batchrun.errors import BatchrunError
from batchrun.job.sections import Job, Publish
from batchrun.publish.worker import Publishing
from batchrun.report.texts import counted
from batchrun.results.summary import Summary


def run(job: Job, options: Options | None = None) -> Summary:
    """Run a job and return its summary. A second call resumes a run that was stopped.

    Works in a notebook too: if an event loop is running already, the job runs in a thread with another loop.

    Raises:
        BatchrunError: the job cannot start, or its directory cannot be written.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_in_new_loop(job, options)
    with ThreadPoolExecutor(1, "batchrun") as thread:
        return thread.submit(_run_in_new_loop, job, options).result()


def _run_in_new_loop(job: Job, options: Options | None) -> Summary:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(arun(job, options))


async def arun(job: Job, options: Options | None = None) -> Summary:
    """Do the same as `run`, in the running event loop."""
    options = options or Options()
    if not job.notify.url_env:
        return await _executed(job, options)
    notices = Notices(job, options.progress.say)
    try:
        summary = await _executed(job, dataclasses.replace(options, progress=notices.watched(options.progress)))
    except BatchrunError as problem:
        await notices.failed(problem)
        raise
    await notices.ended(summary)
    return summary


async def _executed(job: Job, options: Options) -> Summary:
    """Execute a job and have it published."""
    if not options.restart:
        refuse_moved(job)
    job = _with_room(job, options)
    if job.publish == Publish():
        return await _judged(job, options)
    return await _published(job, options)


async def _judged(job: Job, options: Options) -> Summary:
    """Execute a job and have its answers judged, if it has a judge."""
    judging = None if job.judge.model is None else Judging(job, options, _judged)
    with _team_of(job) as team:
        return await Execution(job, options, judging, team).execute()


@contextlib.contextmanager
def _team_of(job: Job) -> Iterator[Team | None]:
    """Yield the workers that send for the job; None: this process does."""
    if job.engine.kind != "ray":
        yield None
        return
    from batchrun.engine.ray.team import RayTeam

    with contextlib.closing(RayTeam(job)) as team:
        yield team


async def _published(job: Job, options: Options) -> Summary:
    """Execute a job and have it published. A failure to publish changes nothing but the summary's message.

    The message names what was not published, so that it is also seen with `--quiet`.
    """
    publishing = Publishing(job, options.progress.say, lambda: options.interruption.is_requested)

    def start() -> None:
        options.on_start()
        publishing.begin()

    try:
        summary = await _judged(job, dataclasses.replace(options, on_start=start))
    except BaseException:
        publishing.abandon()
        raise
    unpublished = await publishing.finish(is_completed=summary.state == "completed")
    return dataclasses.replace(summary, message="\n".join(filter(None, [summary.message, unpublished])))


def _with_room(job: Job, options: Options) -> Job:
    """Return the job with at most as many connections as this process may open.

    The embedded simulator runs in this process too: then each connection has both ends here.
    """
    most, count, ends = job.limits.max_concurrency, len(job.endpoints), 2 if options.simulate else 1
    # Each endpoint may have as many connections open that wait for the next request.
    wanted = sum(min(endpoint.max_concurrency or most, most) for endpoint in job.endpoints.values())
    allowed = room_for(wanted * ends) // ends
    if allowed >= wanted:
        return job
    room = max(1, allowed // count)
    cure = f"to allow this process more open files: ulimit -n {wanted * ends + SPARE}"
    options.progress.say(f"note: at most {counted(room, 'request')} at once, instead of {most:,}; {cure}")
    return dataclasses.replace(job, limits=dataclasses.replace(job.limits, max_concurrency=room))
