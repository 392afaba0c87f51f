"""Collects a batch that has ended: every line becomes an outcome, or waits for the next batch.

Outcomes are written as they are read; all else that the batch changes is written in one transaction at the end. Killed
in between, the batch is collected again, and what is settled already is passed over.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

from batchrun.checkpoint.batch_tables import COLLECTED, AnswerRow, BatchRow
from batchrun.checkpoint.batches import BatchLog
from batchrun.checkpoint.tables import pack, unpack
from batchrun.checkpoint.totals import Extra
from batchrun.endpoint.batches.lines import Answered, Place
from batchrun.endpoint.batches.settling import (
    Again,
    Asked,
    Rules,
    missing,
    refusal,
    refused_outcome,
    settled,
    stops_run,
)
from batchrun.endpoint.batches.state import BatchState
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.engine.batches.files import input_file, make_folder, output_files, remove_files
from batchrun.engine.batches.output import Sent, answers_in
from batchrun.engine.batches.provider import Gone, Provider
from batchrun.records import BY_BATCH, BatchLine, Outcome, RequestKind, Usage


@dataclass(slots=True)
class Result:
    """What a batch has brought."""

    again: list[BatchLine] = field(default_factory=list)
    """Lines that wait for the next batch."""
    extras: list[Extra] = field(default_factory=list)
    """What answers have used that are not in an outcome."""
    usages: list[tuple[str, Usage]] = field(default_factory=list)
    """Model and usage of each answer that was not booked before."""
    lost: int = 0
    """Lines whose answers are gone, and may have been paid."""
    refusal: Verdict | None = None
    """Why nothing more can be sent, where that shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Collects batches."""

    log: BatchLog
    provider: Provider
    directory: Path
    endpoint: str
    """Name of the endpoint; empty where the job has one."""
    max_attempts: int
    repair: Repair | None
    put: Callable[[Outcome], None]
    """Takes outcomes."""
    has_room: Callable[[], bool]
    """Whether more outcomes may be put."""
    has_answered: Callable[[str], bool]
    """Whether a model has ever answered a row."""

    async def collect(self, row: BatchRow, state: BatchState) -> Result:
        """Settle all lines of a batch that was run, at least in part."""
        known = await asyncio.to_thread(self.log.lines, row.id)
        lines = {line.place: (line, is_settled) for line, is_settled in known}
        kind, result = cast("RequestKind", row.kind), Result()
        sent = Sent(input_file(self.directory, row.id))
        rules = Rules(
            kind,
            self.max_attempts,
            self.repair,
            lambda line: self._asked(row, line),
            lambda line: sent.body_of(Place(*unpack(line.place))),
            has_answers=state.completed > 0,
        )
        files, is_lost = await self._downloaded(row, state)
        result.refusal = await self._refusal(row, files, sent, len(lines))
        if result.refusal is None:
            async for some in answers_in(files, self.provider.hidden):
                await self._has_room()
                for answered in some:
                    self._take(row, lines.pop(pack(*answered.place), None), answered, rules, result)
        is_run = state.status == "completed" and not is_lost and result.refusal is None
        for line, is_settled in lines.values():
            result.lost += is_lost and not is_settled
            if not is_settled:
                self._keep(row, line, missing(line, rules, _now_ms()) if is_run else Again(line, Usage()), result)
        await self._close(row, state, result.again, result.extras)
        return result

    async def fail(self, row: BatchRow, state: BatchState, failures: Mapping[Place | None, str]) -> None:
        """Settle the lines that the provider has refused before it ran any; the others wait for the next batch.

        Args:
            row: of the batch.
            state: as it ended.
            failures: which requests, and why.
        """
        messages = {pack(*place): message for place, message in failures.items() if place is not None}
        left = await self._left(row)
        for line in left:
            if line.place in messages:
                self.put(refused_outcome(line, messages[line.place], _now_ms(), self._asked(row, line)))
        await self._close(row, state, [line.back() for line in left if line.place not in messages], ())

    async def wanted(self, row: BatchRow) -> int:
        """Return how many requests of a batch that was not run are in the job and open."""
        return len(await self._left(row))

    async def release(self, row: BatchRow) -> None:
        """Have all lines of a batch wait for the next one."""
        self.log.collected(row, [line.back() for line in await self._left(row)], ())
        await self.log.committed()
        await asyncio.to_thread(remove_files, self.directory, row.id)

    async def _left(self, row: BatchRow) -> list[BatchLine]:
        """Return the lines of a batch that was not run whose requests are in the job and open."""
        known = await asyncio.to_thread(self.log.lines, row.id)
        return [line for line, is_settled in known if line.id is not None and not is_settled]

    async def _close(
        self, row: BatchRow, state: BatchState, again: Sequence[BatchLine], extras: Sequence[Extra]
    ) -> None:
        """Note that a batch is collected, once all its outcomes are on the disk."""
        await self.log.committed()
        ended = noted(row, state)._replace(step=COLLECTED)
        self.log.collected(ended, again, extras)
        await self.log.committed()
        await asyncio.to_thread(remove_files, self.directory, row.id)

    def _take(
        self, row: BatchRow, found: tuple[BatchLine, bool] | None, answered: Answered, rules: Rules, result: Result
    ) -> None:
        """Settle one line."""
        if found is None:  # before a kill: its outcome has left the job since
            return
        line, is_settled = found
        became = settled(line, answered.reply, rules, _now_ms())
        if not is_settled:
            self._keep(row, line, became, result)
            if isinstance(became, Outcome) and line.id is not None:
                self.log.keep([AnswerRow(line.id, line.key, became.finished_at_ms, *answered.around)])
        elif isinstance(became, Outcome) and became.kind is not None:  # before a kill, which lost what it used
            self._spend(row.model, became.usage, result)

    def _keep(self, row: BatchRow, line: BatchLine, became: Outcome | Again, result: Result) -> None:
        """Keep what became of a line."""
        if line.id is None:
            self._retire(row, line, became, result)
        elif isinstance(became, Again):
            result.again.append(became.line.back())
            self._spend(row.model, became.usage, result)
        else:
            self.put(became)
            if became.kind is None:
                result.usages.append((became.model, became.usage))
            else:
                self._spend(became.model, became.usage, result)

    def _retire(self, row: BatchRow, line: BatchLine, became: Outcome | Again, result: Result) -> None:
        """Keep what was paid for a request that has left the job: nothing more is sent for it."""
        if isinstance(became, Again):
            self._spend(row.model, became.usage, result, attempts=became.line.attempts)
        else:
            result.usages.append((became.model, became.usage))
            self.log.retire(line, became)

    def _spend(self, model: str, usage: Usage, result: Result, *, attempts: int = 0) -> None:
        """Book an answer that does not complete a row."""
        if attempts or any(count is not None for count in usage):
            result.usages.append((model, usage))
            result.extras.append(Extra(model, usage, attempts=attempts, endpoint=self.endpoint + BY_BATCH))

    async def _has_room(self) -> None:
        while not self.has_room():  # noqa: ASYNC110  # the writer is a thread
            await asyncio.sleep(0.01)

    async def _downloaded(self, row: BatchRow, state: BatchState) -> tuple[list[Path], bool]:
        """Download both files; return those that there are, and whether one is gone."""
        found, is_lost = [], False
        await asyncio.to_thread(make_folder, self.directory)
        for name, path in zip((state.output_file, state.error_file), output_files(self.directory, row.id), strict=True):
            if name is None:
                continue
            try:
                await self.provider.download(name, path)
                found.append(path)
            except Gone:
                is_lost = True
        return found, is_lost

    async def _refusal(self, row: BatchRow, files: list[Path], sent: Sent, total: int) -> Verdict | None:
        """Return why all lines were refused, if they were for the same reason, and that reason is the whole run's."""
        if self.has_answered(row.model):
            return None
        kind, count = cast("RequestKind", row.kind), 0
        first: Verdict | None = None
        async for some in answers_in(files, self.provider.hidden):
            for answered in some:
                verdict = refusal(answered.reply, kind, partial(sent.body_of, answered.place))
                if verdict is None or (first is not None and verdict.kind != first.kind):
                    return None
                first, count = first or verdict, count + 1
        return first if first is not None and stops_run(count, total, first) else None

    def _asked(self, row: BatchRow, line: BatchLine) -> Asked:
        """Return which request a line of a batch is for; for which it was written where it is for none."""
        number, _, sample = unpack(line.place if line.id is None else line.id)
        return Asked(number, row.model, sample, self.endpoint)


def noted(row: BatchRow, state: BatchState) -> BatchRow:
    """Return a batch with what the provider reports of it."""
    return row._replace(
        name=state.id,
        status=state.status,
        completed=state.completed,
        failed=state.failed,
        expires_at_ms=None if state.expires_s is None else int(1000 * state.expires_s),
        message=state.problems[0].message if state.problems else None,
    )


def _now_ms() -> int:
    return int(time.time() * 1000)
