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

from batchrun.checkpoint.batch_tables import COLLECTED, AnswerRow, BatchRow, LineRow
from batchrun.checkpoint.batches import BatchLog
from batchrun.checkpoint.tables import pack, unpack
from batchrun.checkpoint.totals import Extra
from batchrun.endpoint.batches.lines import Answered, Place
from batchrun.endpoint.batches.settling import Again, Line, Rules, missing, refusal, refused_outcome, settled, stops_run
from batchrun.endpoint.batches.state import BatchState
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.engine.batches.draft import input_file, output_files
from batchrun.engine.batches.output import Sent, answers_in
from batchrun.engine.batches.provider import Gone, Provider
from batchrun.records import BY_BATCH, Outcome, RequestKind, Usage


@dataclass(slots=True)
class Result:
    """What a batch has brought."""

    again: list[LineRow] = field(default_factory=list)
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
        lines = {line.id: (line_of(row, line), is_settled) for line, is_settled in known}
        kind, result = cast("RequestKind", row.kind), Result()
        sent = Sent(input_file(self.directory, row.id))
        rules = Rules(
            kind, self.endpoint, self.max_attempts, self.repair, lambda line: sent.body_of(self._place(row, line))
        )
        files, is_lost = await self._downloaded(row, state)
        result.refusal = await self._refusal(row, files, sent, len(lines))
        if result.refusal is None:
            async for some in answers_in(files, self.provider.hidden):
                await self._has_room()
                for answered in some:
                    self._take(row, lines.pop(self._number(answered.place), None), answered, rules, result)
        is_run = state.status == "completed" and not is_lost and result.refusal is None
        for line, is_settled in lines.values():
            result.lost += is_lost and not is_settled
            if not is_settled:
                self._keep(missing(line, rules, _now_ms()) if is_run else Again(line, Usage()), result)
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
        known = await asyncio.to_thread(self.log.lines, row.id)
        left = [line for line, is_settled in known if not is_settled]
        for line in left:
            if line.id in messages:
                self.put(refused_outcome(line_of(row, line), messages[line.id], _now_ms(), self.endpoint))
        await self._close(row, state, [line._replace(batch=0) for line in left if line.id not in messages], ())

    async def release(self, row: BatchRow) -> None:
        """Have all lines of a batch wait for the next one."""
        known = await asyncio.to_thread(self.log.lines, row.id)
        self.log.collected(row, [line._replace(batch=0) for line, is_settled in known if not is_settled], ())
        await self.log.committed()
        await asyncio.to_thread(self._remove_files, row.id)

    async def _close(self, row: BatchRow, state: BatchState, again: Sequence[LineRow], extras: Sequence[Extra]) -> None:
        """Note that a batch is collected, once all its outcomes are on the disk."""
        await self.log.committed()
        ended = noted(row, state)._replace(step=COLLECTED)
        self.log.collected(ended, again, extras)
        await self.log.committed()
        await asyncio.to_thread(self._remove_files, row.id)

    def _take(
        self, row: BatchRow, found: tuple[Line, bool] | None, answered: Answered, rules: Rules, result: Result
    ) -> None:
        """Settle one line."""
        if found is None:  # of a row that was edited meanwhile: it is paid, and not used
            if answered.reply is not None and answered.reply.is_success:
                self._spend(row.model, _usage_of(answered, rules), result, attempts=1)
            return
        line, is_settled = found
        became = settled(line, answered.reply, rules, _now_ms())
        if not is_settled:
            self._keep(became, result)
            if isinstance(became, Outcome):
                self.log.keep([AnswerRow(line.id, line.key, became.finished_at_ms, *answered.around)])
        elif isinstance(became, Outcome) and became.kind is not None:  # before a kill, which lost what it used
            self._spend(row.model, became.usage, result)

    def _keep(self, became: Outcome | Again, result: Result) -> None:
        if isinstance(became, Again):
            line = became.line
            result.again.append(
                LineRow(
                    line.id,
                    0,
                    line.key,
                    line.custom_id,
                    line.attempts,
                    line.throttled,
                    line.spent,
                    line.repairs,
                    line.body,
                )
            )
            self._spend(line.model, became.usage, result)
            return
        self.put(became)
        if became.kind is None:
            result.usages.append((became.model, became.usage))
        else:
            self._spend(became.model, became.usage, result)

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

    def _number(self, place: Place) -> int:
        return pack(*place)

    def _place(self, row: BatchRow, line: Line) -> Place:
        return Place(line.row, self.log.number_of(row.model), line.sample)

    def _remove_files(self, number: int) -> None:
        for path in (input_file(self.directory, number), *output_files(self.directory, number)):
            path.unlink(missing_ok=True)


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


def line_of(row: BatchRow, line: LineRow) -> Line:
    """Return a noted line as it is settled."""
    number, _, sample = unpack(line.id)
    own = (line.attempts, line.throttled, line.spent, line.repairs, line.body)
    return Line(line.id, number, row.model, sample, line.key, line.custom_id, *own)


def _usage_of(answered: Answered, rules: Rules) -> Usage:
    nobody = Line(0, 0, "", 0, b"", None)
    return settled(nobody, answered.reply, rules._replace(max_attempts=1, repair=None), 0).usage


def _now_ms() -> int:
    return int(time.time() * 1000)
