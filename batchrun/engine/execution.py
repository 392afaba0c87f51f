"""One execution of a job in its directory, from opening its input to its results and their upload."""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from batchrun.checkpoint.file import PAGE_BYTES, VECTOR_PAGE_BYTES
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.room import refuse_full
from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.budget import Amount
from batchrun.endpoint.pool.repair import Repair
from batchrun.engine.access import Access, access_to
from batchrun.engine.caps import cap_usd_of
from batchrun.engine.ending import ended_as
from batchrun.engine.interruption import SENDING, UPLOADING, WRITING
from batchrun.engine.judging import Judged, Judging, with_judging
from batchrun.engine.live import Sending
from batchrun.engine.new_files import NewFiles
from batchrun.engine.options import Options
from batchrun.engine.preparation import prepare
from batchrun.engine.prepared import Prepared, Team
from batchrun.engine.restart import Restart, refuse_lost, restart
from batchrun.engine.row_counter import counting
from batchrun.engine.shared_limit import LimitMemory, memory_of, notes_folder
from batchrun.engine.threads import in_thread
from batchrun.engine.ticker import expected_rows
from batchrun.engine.unsettled import is_all_settled
from batchrun.errors import BatchrunError, JobError, PublishError, RunDirectoryError
from batchrun.job.file import STDIN
from batchrun.job.sections import Job
from batchrun.prompts.count import rows_left
from batchrun.prompts.source import Source
from batchrun.publish.upload import check_upload, upload_results
from batchrun.records import Stop, summed
from batchrun.report.texts import left_text
from batchrun.results.export import Exported
from batchrun.results.recorded import Findings, Status
from batchrun.results.refresh import refresh
from batchrun.results.replace import sweep
from batchrun.results.row_scorers import check_evaluation
from batchrun.results.run_directory import CHECKPOINT, SPOOL
from batchrun.results.run_json import save_ending, save_summary
from batchrun.results.state import judge_entry, recorded_of
from batchrun.results.summary import Summary, summarize
from batchrun.storage.slow import READING_FIRST, reported_late, reported_when_slow
from batchrun.storage.urls import shown


class Execution:
    """One execution of a job, in its directory."""

    def __init__(self, job: Job, options: Options, judging: Judging | None = None, team: Team | None = None) -> None:
        """Prepare; nothing is read or written yet.

        Args:
            job: to run.
            options: how.
            judging: judges the answers when they are there.
            team: the workers that send; None: this process does.

        Raises:
            JobError: a template, the schema or the scorer of the job is wrong, or a price is missing to keep its cap.
        """
        cap_usd_of(job, simulated=options.simulate)
        check_evaluation(job)
        self.job, self.options, self.judging, self.team = job, options, judging, team
        self.directory = job.run_directory
        self.progress = options.progress
        self.repair = None if job.response.schema is None else Repair(job.response)
        self.reads_stdin = STDIN in job.input.path
        stdin = (options.stdin or sys.stdin.buffer) if self.reads_stdin else None
        self.source = Source(job, stdin, self.directory / SPOOL if self.reads_stdin else None)
        has_vectors = job.model.kind == "embeddings"
        self.store = Store(self.directory, VECTOR_PAGE_BYTES if has_vectors else PAGE_BYTES)
        self.sending: Sending | None = None
        self.interruption = options.interruption
        self.began_s = time.monotonic()
        self.settled_before = 0
        self.restarted: Restart | None = None

    async def execute(self) -> Summary:
        """Run all stages in order. A mistake in the job is found before anything is written."""
        if (url := self.job.output.upload) is not None:
            with self._reporting("the upload's folder", shown(url)):
                await in_thread(lambda: check_upload(url, self.job.input.path))
        new = NewFiles(self.directory)
        try:
            return await self._execute(new)
        finally:
            if self.sending is None:
                new.remove_folders()

    async def _execute(self, new: NewFiles) -> Summary:
        async with contextlib.AsyncExitStack() as opened:
            opened.enter_context(contextlib.closing(self.source))
            if not self.reads_stdin:
                await self._open_files()
            with self._reporting("the key", "~/.netrc"):
                access = await opened.enter_async_context(access_to(self.job.endpoints, simulate=self.options.simulate))
            with self._reporting("the lock", self.directory):
                opened.enter_context(DirectoryLock(self.directory))
            if self.reads_stdin:
                await in_thread(self._open_stdin)  # is kept in the directory, so the lock comes first
            sweep(self.directory)
            if self.options.restart:
                self.restarted = restart(self.job, self.options.agree)
            else:
                refuse_lost(self.directory, self.options.agree)
            with self.progress, self.interruption.reporting_loss(self.directory, self.progress.say):
                try:
                    stop = await self._run_stored(access)
                    return await self._finish(stop, await self._judged(stop))
                except BatchrunError as problem:
                    self._note_failure(problem)
                    raise
                finally:
                    if self.sending is None:  # refused: the directory stays as it was
                        self._undo(new)

    def _undo(self, new: NewFiles) -> None:
        if self.restarted is not None:
            self.restarted.put_back()
        new.remove()

    def _reporting(self, step: str, place: Path | str) -> contextlib.AbstractContextManager[None]:
        return reported_when_slow(step, place, self.progress.say)

    async def _open_files(self) -> None:
        if self.job.input.is_read_first:  # which may take long on every file system
            with reported_late(READING_FIRST, self.progress.say):
                await in_thread(self.source.open)
            return
        with self._reporting("the first rows", ", ".join(map(shown, self.job.input.path))):
            await in_thread(self.source.open)

    def _open_stdin(self) -> None:
        if (self.directory / CHECKPOINT).exists() and not self.options.restart:
            self.source.compare_input()
        self.source.open()

    async def _run_stored(self, access: Mapping[str, Access]) -> Stop | None:
        try:
            with self._reporting("the learned limit", notes_folder()):
                memories = await in_thread(lambda: self._memories(access))
            with contextlib.ExitStack() as opened:
                for memory in memories.values():
                    opened.enter_context(contextlib.closing(memory))
                with self._reporting("the checkpoint", self.directory):
                    opened.enter_context(self.store)
                prepared = await in_thread(lambda: self._prepare(access, memories))
                self.settled_before = prepared.settled_before
                if self.restarted is not None:
                    self.progress.say(self.restarted.note)
                self.sending = Sending(
                    prepared,
                    interruption=self.interruption,
                    save=lambda: save_summary(self._summary("running", pid=os.getpid())),
                )
                self.interruption.phase = SENDING
                self.options.on_start()
                opened.enter_context(counting(self.job, self.source))
                return await self.sending.send()
        except RunDirectoryError as problem:
            raise self._failure or problem from problem  # the first trouble explains the later

    def _memories(self, access: Mapping[str, Access]) -> dict[str, LimitMemory]:
        return {name: memory_of(self.job, name, each.base_url, each.project) for name, each in access.items()}

    def _prepare(self, access: Mapping[str, Access], memories: Mapping[str, LimitMemory]) -> Prepared:
        parts = (self.job, self.options, self.source, self.store)
        prepared = prepare(*parts, access=access, memories=memories, repair=self.repair)
        is_needed = not is_all_settled(self.job, self.source, self.store, fits=prepared.fits)
        if is_needed:
            refuse_full(self.directory)
        team = self.team if is_needed else None  # a cluster that is not used need not be joined
        if team is not None:
            team.connect(self.progress.say)
        return dataclasses.replace(prepared, team=team, cancels=self.options.cancel)

    @property
    def _failure(self) -> BatchrunError | None:
        return None if self.sending is None else self.sending.failure

    # Finishing.

    async def _judged(self, stop: Stop | None) -> Judged | None:
        """Judge the answers, if the job has a judge and all rows are settled."""
        if self.judging is None or stop is not None or self.interruption.stop is not None:
            return None
        if self._failure is not None:
            return None
        with self.interruption.handing_over():
            return await self.judging.judge()

    async def _finish(self, stop: Stop | None, judged: Judged | None) -> Summary:
        """Have the results of all settled rows written, whatever has happened."""
        self.interruption.phase = WRITING
        try:
            exported = await in_thread(lambda: refresh(self.directory, self.options.scorer))
        except RunDirectoryError as problem:
            raise self._failure or problem from problem
        for notice in exported.notices:
            self.progress.say(f"note: {notice}")
        summary = with_judging(self._ending(stop or self.interruption.stop, exported), judged)
        if not isinstance(self._failure, RunDirectoryError):
            save_summary(summary)
        if self._failure is not None:
            raise self._failure
        return await self._uploaded(summary)

    async def _uploaded(self, summary: Summary) -> Summary:
        """Upload the results, unless the run was interrupted; return its summary, with the result of the upload."""
        url = self.job.output.upload
        if url is None or summary.state == "interrupted":
            return summary
        self.interruption.phase = UPLOADING
        self.progress.say(f"uploading the results to {url}")
        try:
            await in_thread(lambda: upload_results(self.directory, url))
        except PublishError as problem:  # run.json is of the run, and stays as it is
            code = summary.exit_code if summary.state == "stopped" else problem.exit_code
            message = f"{summary.message}\n{problem}".strip()
            return dataclasses.replace(summary, exit_code=code, message=message)
        stop = self.interruption.stop
        if stop is None or summary.state == "stopped":
            return summary
        message = "the results are written and uploaded"
        return dataclasses.replace(summary, state="interrupted", exit_code=stop.exit_code, message=message)

    def _ending(self, stop: Stop | None, exported: Exported) -> Summary:
        if stop is not None:
            state = ended_as(stop)
            message = stop.message
            total = expected_rows(self.job, self.source, self.store)
            left = rows_left(total, summed(self.store.totals.values()).requests)
            if left is not None and left.rows:
                message = f"{left_text(left)}; {message}"
            elif left is not None and stop.kind == "interrupted":
                message = "all rows are settled, and the results are written"
                if self.job.output.upload is not None:
                    message += f" but not uploaded; upload them: batchrun export {self.directory}"
            return self._summary(state, exit_code=stop.exit_code, message=message, exported=exported)
        failed = summed(exported.parts.values()).failed
        code = JobError.exit_code if exported.problem else 1 if failed else 0
        return self._summary("completed", exit_code=code, message=exported.problem or "", exported=exported)

    def _summary(
        self,
        state: str,
        *,
        exit_code: int | None = None,
        message: str = "",
        exported: Exported | None = None,
        pid: int | None = None,
    ) -> Summary:
        parts = self.store.parts if exported is None else exported.parts
        status = Status(
            state=state,
            exit_code=exit_code,
            message=message,
            duration_s=round(time.monotonic() - self.began_s, 3),
            pid=pid,
            newly_settled=summed(parts.values()).requests - self.settled_before,
        )
        recorded = recorded_of(self.directory, is_running=state == "running")
        set_aside = Amount() if self.sending is None else self.sending.set_aside
        findings = Findings()
        if exported is not None:
            judge = judge_entry(self.directory) if self.judging is not None else None
            findings = Findings(exported.failures, exported.scores, exported.answers, exported.agreement, judge)
        return summarize(
            self.job,
            self.directory,
            status,
            parts,
            findings=findings,
            simulated=self.options.simulate,
            recorded=recorded._replace(unrecorded=self.store.unrecorded_ever, set_aside=set_aside),
        )

    def _note_failure(self, problem: BatchrunError) -> None:
        """Write to run.json that the execution has ended and why, as far as the disk allows."""
        if self.sending is not None and isinstance(problem, RunDirectoryError):
            save_ending(self._summary("stopped", exit_code=problem.exit_code, message=str(problem)))
