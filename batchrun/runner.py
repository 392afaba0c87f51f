"""The composition root: wires the stages into one run, and is the only place that does."""

import asyncio
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import BinaryIO

import orjson

from batchrun import __version__
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.schema import set_aside
from batchrun.checkpoint.store import Store
from batchrun.credentials import Secret, find_key, find_project
from batchrun.errors import BatchrunError, JobError, RunDirectoryError
from batchrun.events import CanaryAnswered, Event, Paused, Resumed
from batchrun.export import SPOOL, Summary, export, save_summary, summarize
from batchrun.job import Endpoint, Job
from batchrun.job_file import STDIN
from batchrun.limit_memory import LimitMemory, Share
from batchrun.pool.budget import Budget
from batchrun.pool.client import HttpClient
from batchrun.pool.limits import START, Change, Limit
from batchrun.pool.pool import Pool
from batchrun.pool.rates import Rates
from batchrun.pool.settling import Policy, Stop
from batchrun.pricing import cost_usd, load_prices, price_of
from batchrun.prompts.source import Entry, Source
from batchrun.readahead import Readahead, in_thread
from batchrun.records import BadRow, Outcome, Request, Usage
from batchrun.report.progress import TICK_S, Progress, Silence
from batchrun.report.stats import Figures, duration_text, estimated_total, summed
from batchrun.resume import prepare

_SAVE_EVERY_S = 5.0
"""How often run.json is written while the job runs."""

_SHARE_EVERY_S = 1.0
"""How often runs of one project look at each other."""

_LIMIT_NOTED_EVERY_S = 1.0
"""Finest grain of the limit's history: a ramp changes it at every answer."""

_SIMULATED_KEY = Secret("simulated")

_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a job, beside what the job itself says."""

    restart: bool = False
    """Begin anew; the checkpoint that there was is set aside."""
    retry_failed: bool = False
    """Send failed rows again."""
    agree: Callable[[str], bool] = field(default=lambda question: False)  # the name is for callers
    """Asked before answers are bought again because the job was edited."""
    simulate: bool = False
    """Run against the embedded simulator."""
    progress: Progress = field(default_factory=Silence)
    """Shows how the run goes."""
    stdin: BinaryIO | None = None
    """What `-` stands for; standard input unless given."""
    on_start: Callable[[Callable[[Stop], None]], None] = field(default=lambda drain: None)
    """Handed, as sending begins, what drains the run: to be called on its event loop."""


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
    async with contextlib.AsyncExitStack() as stack:
        endpoint = job.endpoint
        if options.simulate:
            endpoint = await stack.enter_async_context(_simulated(endpoint))
        return await _Run(job, endpoint, options).execute()


@contextlib.asynccontextmanager
async def _simulated(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """Run the simulator as long as the context lasts; yield where it is."""
    from batchrun.simulator import Settings, serve

    async with serve(Settings()) as simulator:
        yield dataclasses.replace(endpoint, base_url=simulator.base_url)


class _Run:
    """One execution of a job, in its directory."""

    def __init__(self, job: Job, endpoint: Endpoint, options: Options) -> None:
        self.job, self.endpoint, self.options = job, endpoint, options
        self.directory = job.run_directory
        self.progress = options.progress
        self.reads_stdin = STDIN in job.input.path
        stdin = (options.stdin or sys.stdin.buffer) if self.reads_stdin else None
        self.source = Source(job, stdin, self.directory / SPOOL if self.reads_stdin else None)
        self.failure: BatchrunError | None = None
        self.began_s = time.monotonic()
        self.saved_s = self.limit_noted_s = self.shared_s = 0.0

    async def execute(self) -> Summary:
        """Run all stages in their order. What may be wrong with the job is found before anything is written."""
        key = _SIMULATED_KEY if self.options.simulate else find_key(self.endpoint)
        if not self.reads_stdin:
            await in_thread(self.source.open)
        with DirectoryLock(self.directory), contextlib.closing(self.source):
            if self.reads_stdin:
                await in_thread(self.source.open)  # spools into the directory, so the lock comes first
            if self.options.restart:
                set_aside(self.directory)
            with self.progress:
                with Store(self.directory) as self.store:
                    await in_thread(self._prepare)
                    stop = await self._send(key)
                return await self._finish(stop)

    def _prepare(self) -> None:
        for notice in filter(None, [self.store.notice, *self.source.notices]):
            self.progress.say(f"note: {notice}")
        prepare(
            self.store,
            self.job,
            self.source,
            retry_failed=self.options.retry_failed,
            simulated=self.options.simulate,
            agree=self.options.agree,
            say=self.progress.say,
        )

    # Sending.

    async def _send(self, key: Secret | None) -> Stop | None:
        """Send what is not settled; return why it stopped, if before the end."""
        self.loop = asyncio.get_running_loop()
        self.memory = LimitMemory(self.endpoint.base_url, find_project(self.endpoint), self.job.models)
        self.pool = Pool(
            client := self._client(key),
            self._limit(),
            Policy(max_attempts=self.job.limits.max_attempts, patience_s=self.job.limits.patience_s),
            canary=_canary,
            on_outcome=self.store.put,
            on_event=self._on_event,
            rates=Rates(self.job.limits.requests_per_minute, self.job.limits.tokens_per_minute),
            budget=self._budget(),
            may_admit=lambda: self.store.is_keeping_up,
        )
        self.done_before = self._rows_done()
        self.store.start(
            lambda outcomes: self._from_thread(self.pool.wake), lambda error: self._from_thread(self._fail, error)
        )
        self.progress.begin(self.done_before)
        self.options.on_start(self.pool.stop)
        async with client:
            ticker = asyncio.create_task(self._tick())
            with contextlib.closing(Readahead(self._unsettled)) as batches:
                try:
                    stop = await self.pool.run(self._requests(batches))
                finally:
                    ticker.cancel()
                    await asyncio.wait([ticker])
        self.store.set_fact("limit", self.pool.limit.held)
        self.memory.learn(self.pool.limit.held)
        self.memory.close()
        return stop

    def _client(self, key: Secret | None) -> HttpClient:
        limits = self.job.limits
        return HttpClient(
            self.endpoint.base_url,
            key,
            find_project(self.endpoint),
            connections=limits.max_concurrency,
            timeout_s=limits.timeout_s,
            connect_timeout_s=limits.connect_timeout_s,
            user_agent=f"batchrun/{__version__}",
        )

    def _limit(self) -> Limit:
        """Return a limit that starts near what was learned; beside other runs, small, since they hold it."""
        learned = self.memory.learned() or self.store.fact("limit")
        if learned is None or self.memory.others():
            return Limit(self.job.limits.max_concurrency, on_change=self._on_limit)
        start = max(learned, START)
        return Limit(self.job.limits.max_concurrency, start=start, known=True, on_change=self._on_limit)

    def _budget(self) -> Budget | None:
        cap_usd = self.job.limits.max_cost_usd
        if cap_usd is None:
            return None
        for model in self.job.models:
            if price_of(model, self.job.prices, self.endpoint.provider) is None:
                cure = f'say what it costs under [prices."{model}"]'
                raise JobError(
                    f"limits.max_cost_usd = {cap_usd:g} cannot be kept: no price is known for {model}; {cure}"
                )
        spent = summarize(self.job, self.store.totals, self.directory, state="running").cost_usd
        return Budget(cap_usd, spent or 0.0, self._worst_usd, self._cost_usd)

    def _unsettled(self) -> Iterator[list[Entry]]:
        for batch in self.source.batches():
            yield self.store.unsettled(batch)

    async def _requests(self, batches: Readahead[list[Entry]]) -> AsyncIterator[list[Request]]:
        """Yield what is to be sent; settle broken rows; where the input breaks off, drain."""
        try:
            async for batch in batches:
                for entry in batch:
                    if isinstance(entry, BadRow):
                        self.store.put(_outcome_of(entry))
                yield [entry for entry in batch if isinstance(entry, Request)]
        except BatchrunError as problem:
            self._fail(problem)

    def _fail(self, problem: BatchrunError) -> None:
        """Drain, and raise `problem` at the end: what is in flight has been paid for."""
        self.failure = self.failure or problem
        self.pool.stop(Stop(kind="failure", message=str(problem), exit_code=problem.exit_code))

    def _from_thread(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self.loop.call_soon_threadsafe(call, *arguments)

    # Telling.

    def _on_event(self, event: Event) -> None:
        if isinstance(event, CanaryAnswered):
            self.store.paid(event.model, event.usage)
        elif isinstance(event, Paused):
            self.progress.say(f"paused ({event.kind}): {event.message}; probing until the endpoint answers again")
        elif isinstance(event, Resumed):
            self.progress.say(f"the endpoint answers again after {duration_text(event.after_s)}")

    def _on_limit(self, change: Change) -> None:
        if change.at_s - self.limit_noted_s >= _LIMIT_NOTED_EVERY_S:
            self.limit_noted_s = change.at_s
            self.store.note_limit(int(time.time() * 1000), change.limit, change.reason)

    async def _tick(self) -> None:
        """Show how the run stands, keep run.json fresh, and stop at the deadline."""
        deadline_s = self._deadline_s()
        while True:
            now_s = time.monotonic()
            if now_s >= deadline_s:
                message = "the deadline has come; run the same command again to go on"
                self.pool.stop(Stop(kind="deadline", message=message, exit_code=5))
            self.progress.show(self._figures())
            if now_s - self.shared_s >= _SHARE_EVERY_S:
                self.shared_s = now_s
                await self._share()
            if now_s - self.saved_s >= _SAVE_EVERY_S:
                self.saved_s = now_s
                with contextlib.suppress(RunDirectoryError):  # said at the end, when it has to be written
                    await asyncio.to_thread(self._save_running)
            await asyncio.sleep(TICK_S)

    async def _share(self) -> None:
        """Tell other runs of this project what this one uses of its limit, and leave them their share."""
        limit = self.pool.limit
        own = Share(self.pool.in_flight, wants_more=self.pool.has_more and self.pool.in_flight < limit.ceiling)
        limit.cap(await asyncio.to_thread(self.memory.share, own), self.loop.time())

    def _deadline_s(self) -> float:
        """Return when to stop, on the monotonic clock."""
        limits = self.job.limits
        deadlines = [float("inf")]
        if limits.max_duration_s is not None:
            deadlines.append(self.began_s + limits.max_duration_s)
        if limits.stop_at is not None:
            deadlines.append(time.monotonic() + _seconds_until(limits.stop_at, datetime.now().astimezone()))
        return min(deadlines)

    def _rows_done(self) -> int:
        return summed(self.store.totals.values()).requests if self.store.totals else 0

    def _figures(self) -> Figures:
        pool, source = self.pool, self.source
        sums = summed(self.store.totals.values()) if self.store.totals else None
        per_row = max(1, len(self.job.models)) * self.job.model.num_samples
        done = sums.requests if sums else 0
        return Figures(
            done=done,
            total=estimated_total(
                source.rows_read, source.fraction_read, is_complete=source.is_complete, per_row=per_row
            ),
            failed=sums.failed if sums else 0,
            throttled=pool.throttled,
            tokens=sums.total_tokens if sums else 0,
            in_flight=pool.in_flight,
            limit=pool.limit.current,
            waiting=pool.waiting,
            pause=pool.trouble,
        )

    def _save_running(self) -> None:
        self._save("running", pid=os.getpid())

    def _save(self, state: str, *, exit_code: int | None = None, message: str = "", pid: int | None = None) -> Summary:
        summary = summarize(
            self.job,
            self.store.totals,
            self.directory,
            state=state,
            exit_code=exit_code,
            message=message,
            duration_s=round(time.monotonic() - self.began_s, 3),
            pid=pid,
        )
        save_summary(summary)
        return summary

    # Finishing.

    async def _finish(self, stop: Stop | None) -> Summary:
        """Write the results of what is settled, whatever has happened."""
        for notice in await in_thread(lambda: export(self.directory)):
            self.progress.say(f"note: {notice}")
        if isinstance(self.failure, RunDirectoryError):
            raise self.failure
        if stop is None:
            failed = summed(self.store.totals.values()).failed if self.store.totals else 0
            return self._save("completed", exit_code=1 if failed else 0)
        state = "interrupted" if stop.exit_code in (130, 143) else "stopped"
        summary = self._save(state, exit_code=stop.exit_code, message=stop.message)
        if self.failure is not None:
            raise self.failure
        return summary

    # Money.

    def _cost_usd(self, model: str, usage: Usage) -> float | None:
        return cost_usd(usage, price_of(model, self.job.prices, self.endpoint.provider))

    def _worst_usd(self, request: Request) -> float:
        """Return the most that an attempt can cost: a token to every byte of the prompt, and the longest answer."""
        price = price_of(request.model, self.job.prices, self.endpoint.provider)
        if price is None:
            return float("inf")  # a row that names its own model: nobody can say that it keeps the cap
        body = orjson.loads(request.body)
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        if most is None:
            known = load_prices().get(request.model)
            most = (known and known.context_tokens) or _LONGEST_ANSWER_TOKENS
        usage = Usage(len(request.body) + _TEMPLATE_TOKENS, most)
        return cost_usd(usage, price) or 0.0


_LONGEST_ANSWER_TOKENS = 131_072
"""Assumed of a model whose context window is not known, when nothing bounds its answer."""

_TEMPLATE_TOKENS = 200
"""What a model's chat template may add to a prompt."""


def _canary(model: str) -> Request:
    """Return the request that finds out whether a model answers at all, for next to nothing."""
    body = {"model": model, "messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 1}
    return Request(row=-1, model=model, sample=0, key=b"", body=orjson.dumps(body), custom_id=None)


def _outcome_of(bad: BadRow) -> Outcome:
    now_ms = int(time.time() * 1000)
    return Outcome(
        bad.row,
        bad.model,
        bad.sample,
        bad.key,
        bad.custom_id,
        "bad_row",
        bad.message,
        None,
        0,
        None,
        now_ms,
        None,
        _NO_USAGE,
    )


def _seconds_until(clock_time: str, now: datetime) -> float:
    """Return how long it is until a time of day, `HH:MM`, comes next."""
    hour, minute = map(int, clock_time.split(":"))
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if then <= now:
        then += timedelta(days=1)
    return (then - now).total_seconds()
