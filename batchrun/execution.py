"""One execution of a job in its directory: wires the stages, and is the only place that does."""

import asyncio
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import orjson

from batchrun import __version__
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.schema import set_aside
from batchrun.checkpoint.store import Store
from batchrun.credentials import Secret, find_key, find_project
from batchrun.errors import BatchrunError, JobError, PublishError, RunDirectoryError
from batchrun.events import Event, Paused, Probed, Resumed, Spent
from batchrun.export import Exported, View, export
from batchrun.job import Endpoint, Job
from batchrun.job_file import STDIN
from batchrun.limit_memory import LimitMemory
from batchrun.pool.budget import Amount
from batchrun.pool.client import HttpClient
from batchrun.pool.limits import START, Change, Limit
from batchrun.pool.pool import Pool
from batchrun.pool.rates import Rates
from batchrun.pool.settling import Policy, Stop
from batchrun.preflight.check import begun_as, preview
from batchrun.prompts.order import by_prefix
from batchrun.prompts.source import Entry, Source
from batchrun.readahead import Readahead, in_thread
from batchrun.records import BadRow, ModelTotals, Outcome, Request, Usage
from batchrun.repair import Repair
from batchrun.report.progress import Progress, Silence
from batchrun.report.stats import duration_text, summed
from batchrun.results.files import sweep
from batchrun.results.scoring import NamedFunction, scorer_of
from batchrun.resume import prepare
from batchrun.spending import budget_of, keep_spent, noted_in, spent_before
from batchrun.stored import SPOOL
from batchrun.summary import Summary, save_summary, summarize
from batchrun.uploading import check_upload, upload_results
from batchrun.watch import Watch, expected_rows

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
    """Asked before answers are bought again because the job was edited, and before a job above its caps is begun."""
    simulate: bool = False
    """Run against the embedded simulator."""
    progress: Progress = field(default_factory=Silence)
    """Shows how the run goes."""
    stdin: BinaryIO | None = None
    """What `-` stands for; standard input unless given."""
    scorer: NamedFunction | None = None
    """Scores the answers in place of the job's own scorer."""
    on_start: Callable[[Callable[[Stop], None]], None] = field(default=lambda drain: None)
    """Handed, as sending begins, what drains the run: to be called on its event loop."""


class Execution:
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
        self.limit_change: Change | None = None

    async def execute(self) -> Summary:
        """Run all stages in their order. What may be wrong with the job is found before anything is written."""
        if self.job.evaluate.target is not None:
            scorer_of(self.job.evaluate)
        self.repair = None if self.job.response.schema is None else Repair(self.job.response)
        if (url := self.job.output.upload) is not None:
            await in_thread(lambda: check_upload(url, self.job.input.path))
        key = _SIMULATED_KEY if self.options.simulate else find_key(self.endpoint)
        if not self.reads_stdin:
            await in_thread(self.source.open)
        with DirectoryLock(self.directory), contextlib.closing(self.source):
            if self.reads_stdin:
                await in_thread(self.source.open)  # spools into the directory, so the lock comes first
            sweep(self.directory)
            if self.options.restart:
                set_aside(self.directory)
            with self.progress:
                stop = await self._run_stored(key)
                return await self._finish(stop)

    async def _run_stored(self, key: Secret | None) -> Stop | None:
        try:
            with Store(self.directory) as self.store:
                await in_thread(self._prepare)
                return await self._send(key)
        except RunDirectoryError as problem:
            raise self.failure or problem from problem  # the first trouble explains the later

    def _prepare(self) -> None:
        for notice in filter(None, [self.store.notice, *self.source.notices]):
            self.progress.say(f"note: {notice}")
        self.fits = prepare(
            self.store,
            self.job,
            self.source,
            retry_failed=self.options.retry_failed,
            simulated=self.options.simulate,
            agree=self.options.agree,
            say=self.progress.say,
        )
        self.store.share_answers(is_wanted=self.job.input.dedupe)
        self._preview()

    def _preview(self) -> None:
        """Say what is ahead; refuse what will not end within its caps, unless that was agreed to before.

        Raises:
            JobError: the estimate is above a cap, and nobody has agreed to send what fits.
        """
        if self.reads_stdin:
            return  # its rows come once, and nobody knows how many
        begun = begun_as(self.job, self.source)
        seen = preview(self.job, self.endpoint, self.source, is_begun=self.store.fact("begun") == begun)
        for line in seen.lines:
            self.progress.say(line)
        if seen.refusal is not None and not self.options.agree(seen.refusal):
            raise JobError(f"{seen.refusal}, or send what fits under the cap (--yes)")
        self.store.set_fact("begun", begun)

    # Sending.

    async def _send(self, key: Secret | None) -> Stop | None:
        """Send what is not settled; return why it stopped, if before the end."""
        self.loop = asyncio.get_running_loop()
        memory = LimitMemory(self.endpoint.base_url, find_project(self.endpoint), self.job.models)
        with contextlib.closing(memory) as self.memory:
            stop = await self._send_all(key)
            if self.budget is not None:
                keep_spent(self.store, Amount(self.budget.spent_usd, self.budget.spent_tokens))
            self._note_limit()
            self.store.set_fact("limit", self.pool.limit.held)
            self.memory.learn(self.pool.limit.held)
        return stop

    async def _send_all(self, key: Secret | None) -> Stop | None:
        noted = noted_in(self.store)
        keep_spent(self.store, noted)
        spent = spent_before(self.job, self.store.totals, noted)
        self.budget = budget_of(self.job, spent, simulated=self.options.simulate)
        self.pool = Pool(
            client := self._client(key),
            self._limit(),
            Policy(max_attempts=self.job.limits.max_attempts, patience_s=self.job.limits.patience_s),
            canary=_canary,
            repair=self.repair,
            on_outcome=self.store.put,
            on_flight=self._on_flight,
            on_event=self._on_event,
            rates=Rates(self.job.limits.requests_per_minute, self.job.limits.tokens_per_minute),
            budget=self.budget,
            answered=[model for model, sums in self.store.totals.items() if sums.completed],
            may_admit=lambda: self.store.is_keeping_up,
        )
        self.store.start(
            lambda outcomes: self._from_thread(self.pool.wake), lambda error: self._from_thread(self._fail, error)
        )
        self.limit_change = Change(0.0, self.pool.limit.current, "start")
        self.progress.begin(self._sums().requests)
        self.options.on_start(self.pool.stop)
        async with client:
            watch = asyncio.create_task(self._watch().keep())
            watch.add_done_callback(self._on_watch_end)
            with contextlib.closing(Readahead(self._unsettled)) as batches:
                try:
                    return await self.pool.run(self._requests(batches))
                finally:
                    watch.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await watch  # raises what went wrong in it, if anything did

    def _on_watch_end(self, watch: asyncio.Task[None]) -> None:
        """Drain when the watch has died: without it no deadline would be kept."""
        if not watch.cancelled() and watch.exception() is not None:
            self.pool.stop(Stop(kind="failure", message="the run's watch has failed", exit_code=1))

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

    def _unsettled(self) -> Iterator[list[Entry]]:
        store = self.store
        unread = self.source.batches(store.settled_rows, store.settled) if self.fits else self.source.batches()
        fresh = (store.unsettled(batch) for batch in unread)
        return by_prefix(fresh) if self.job.input.order == "prefix" else fresh

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

    def _on_flight(self, in_flight: int) -> None:
        if self.budget is None:
            self.store.sending(in_flight)
        else:
            usd, tokens = self.budget.owed
            self.store.sending(in_flight, usd, int(tokens))

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Spent):
            self.store.paid(event.model, event.usage)
        elif isinstance(event, Probed):
            self.store.probed(event.model, is_throttled=event.is_throttled)
        elif isinstance(event, Paused):
            self.progress.say(f"paused ({event.kind}): {event.message}; probing until the endpoint answers again")
        elif isinstance(event, Resumed):
            self.progress.say(f"the endpoint answers again after {duration_text(event.after_s)}")

    def _watch(self) -> Watch:
        return Watch(
            job=self.job,
            directory=self.directory,
            source=self.source,
            pool=self.pool,
            store=self.store,
            memory=self.memory,
            progress=self.progress,
            began_s=self.began_s,
            note_limit=self._note_limit,
            save=lambda: save_summary(self._summary("running", pid=os.getpid())),
            fail=self._fail,
        )

    def _on_limit(self, change: Change) -> None:
        self.limit_change = change

    def _note_limit(self) -> None:
        """Add the limit to its history if it has changed: a ramp changes it at every answer, so not at each."""
        if self.limit_change is not None:
            self.store.note_limit(int(time.time() * 1000), self.limit_change.limit, self.limit_change.reason)
            self.limit_change = None

    # Finishing.

    async def _finish(self, stop: Stop | None) -> Summary:
        """Write the results of what is settled, whatever has happened."""
        try:
            exported = await in_thread(lambda: export(self.directory, View(scorer=self.options.scorer)))
        except RunDirectoryError as problem:
            raise self.failure or problem from problem
        for notice in exported.notices:
            self.progress.say(f"note: {notice}")
        summary = self._ending(stop, exported)
        if not isinstance(self.failure, RunDirectoryError):
            save_summary(summary)
        if self.failure is not None:
            raise self.failure
        return await self._uploaded(summary)

    async def _uploaded(self, summary: Summary) -> Summary:
        """Upload the results, unless somebody waits for the run to end; return how all of it ended."""
        url = self.job.output.upload
        if url is None or summary.state == "interrupted":
            return summary
        self.progress.say(f"uploading the results to {url}")
        try:
            await in_thread(lambda: upload_results(self.directory, url))
        except PublishError as problem:  # run.json is of the run, and stays as it is
            code = summary.exit_code if summary.state == "stopped" else problem.exit_code
            message = f"{summary.message}\n{problem}".strip()
            return dataclasses.replace(summary, exit_code=code, message=message)
        return summary

    def _open(self) -> int | None:
        """Return about how many rows are left; None when that cannot be told."""
        total = expected_rows(self.job, self.source)
        return None if total is None else max(0, total - self._sums().requests)

    def _ending(self, stop: Stop | None, exported: Exported) -> Summary:
        if stop is not None:
            state = "interrupted" if stop.kind == "interrupted" else "stopped"
            message = stop.message
            if left := self._open():
                message = f"about {left:,} rows are left; {message}"
            return self._summary(state, exit_code=stop.exit_code, message=message, exported=exported)
        failed = summed(exported.totals.values()).failed
        return self._summary("completed", exit_code=1 if failed else 0, exported=exported)

    def _sums(self) -> ModelTotals:
        return summed(self.store.totals.values())

    def _summary(
        self,
        state: str,
        *,
        exit_code: int | None = None,
        message: str = "",
        exported: Exported | None = None,
        pid: int | None = None,
    ) -> Summary:
        return summarize(
            self.job,
            self.store.totals if exported is None else exported.totals,
            self.directory,
            state=state,
            exit_code=exit_code,
            message=message,
            duration_s=round(time.monotonic() - self.began_s, 3),
            simulated=self.options.simulate,
            unrecorded=self.store.unrecorded_ever,
            failures=() if exported is None else exported.failures,
            scores=() if exported is None else exported.scores,
            pid=pid,
        )


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
