"""Brings one batch to the provider and back: uploaded, created, looked after until it has ended, collected.

Each step is on the disk before the next one relies on it. The only step that could be done twice is the creation: it is
noted before it is asked for, and who finds that note, or gets no reply, first looks for the batch in the list.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from batchrun.checkpoint.batch_tables import (
    COLLECTED,
    CREATED,
    CREATING,
    FAILED,
    GIVEN_UP,
    GONE,
    UPLOADED,
    WRITTEN,
    BatchRow,
)
from batchrun.checkpoint.batches import BatchLog
from batchrun.endpoint.batches.lines import endpoint_of
from batchrun.endpoint.batches.not_taken import Cause, is_of_model, not_taken
from batchrun.endpoint.batches.state import NUMBER, RUN, BatchState, poll_s
from batchrun.endpoint.pool.closure import REFUSED
from batchrun.engine.batches.collection import Collector, Result, noted
from batchrun.engine.batches.files import input_file, note_batch
from batchrun.engine.batches.output import Sent
from batchrun.engine.batches.provider import Gone, Halted, Provider, Refused
from batchrun.engine.batches.shipment import Delivered, Shipment
from batchrun.records import RequestKind, Stop
from batchrun.report.texts import counted

LISTED_AFTER_S = 5.0
"""How long a batch may be created and not listed yet."""

_LOOK_S = 0.5
"""Time between two looks at the list."""

_SKEW_S = 24 * 3600.0
"""How far the provider's clock may be behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """Brings batches to the provider and back."""

    log: BatchLog
    provider: Provider
    collector: Collector
    directory: Path
    identity: Callable[[], str]
    """Returns what identifies the run in the metadata of its batches; asked when the first notes are committed."""
    say: Callable[[str], None]

    async def bring(self, shipment: Shipment) -> None:
        """Have a batch uploaded and created, unless it is to be cancelled or was withdrawn.

        Raises:
            Halted: nothing more can be sent.
        """
        if shipment.is_withdrawn:
            return
        if shipment.row.step == WRITTEN:
            await self._upload(shipment)
        if shipment.row.step in (UPLOADED, CREATING):
            while not await self._create(shipment) and not shipment.is_cancelled:
                await self._upload(shipment)
                if shipment.refused is not None or shipment.is_too_large:
                    break

    async def is_seen(self, row: BatchRow) -> bool:
        """Return whether the provider has a batch that was created, or may have been."""
        if row.name is None:
            until_s = (row.created_at_ms or 0) / 1000 + LISTED_AFTER_S
            return await self._found(row, until_s, lambda state: True) is not None
        try:
            await self.provider.retrieve(row.name)
        except Gone:
            return False
        return True

    async def fetch(self, shipment: Shipment) -> Delivered:
        """Look after a batch until it has ended, and collect it.

        Raises:
            Halted: nothing more can be sent.
        """
        if shipment.row.step != CREATED:  # cancelled before it was there, withdrawn, or refused
            problem = "its file is too large" if shipment.is_too_large else ""
            is_refused = problem or shipment.refused is not None or shipment.row.message is not None
            shipment.become(shipment.row._replace(status=FAILED if is_refused else None))
            delivered = Delivered(
                Result(),
                is_too_large=shipment.is_too_large,
                is_withdrawn=shipment.is_withdrawn,
                problem=problem,
                stop=shipment.refused,
            )
            return await self._returned(shipment, delivered)
        try:
            state = await self._ended(shipment)
        except Gone:
            self.say(f"batch {shipment.row.id} ({shipment.row.name}) is gone; its rows are open again")
            shipment.become(shipment.row._replace(status=GONE))
            return await self._returned(shipment, Delivered(Result(lost=shipment.row.requests), is_lost=True))
        if state.status == FAILED:
            return await self._failed(shipment, state)
        result = await self.collector.collect(shipment.row, state)
        if state.status == "expired" or (state.status == "cancelled" and not shipment.is_cancelled):
            left = f"{len(result.again):,} of {counted(shipment.row.requests, 'request')}"
            how = "has expired" if state.status == "expired" else "was cancelled at the provider"
            self.say(f"batch {shipment.row.id} {how}: {left} have no answer, and are open again")
        shipment.become(noted(shipment.row, state)._replace(step=COLLECTED))
        return Delivered(result)

    async def give_up(self, row: BatchRow) -> None:
        """Have the rows of a batch open again that another account has."""
        name = row.name or "whose name is not known"
        self.say(f"batch {row.id} ({name}, {counted(row.requests, 'request')}) is given up: this key does not see it")
        await self.collector.release(row._replace(step=COLLECTED, status=GIVEN_UP))

    async def _note(self, shipment: Shipment, row: BatchRow) -> None:
        shipment.become(row)
        await asyncio.to_thread(note_batch, self.directory, row)
        self.log.note(row)
        await self.log.committed()

    async def _upload(self, shipment: Shipment) -> None:
        if shipment.is_cancelled:
            return
        row = shipment.row
        name = f"batchrun-{self.identity()}-{row.id}.jsonl"
        try:
            file = await self.provider.upload(input_file(self.directory, row.id), name)
        except Refused as problem:
            if problem.verdict.kind == "too_large":
                shipment.is_too_large = True
            else:
                shipment.refused = self._stop(row, "bad_request", problem.verdict.message)
            return
        await self._note(shipment, row._replace(step=UPLOADED, file=file))

    async def _create(self, shipment: Shipment) -> bool:
        """Create a batch, unless it is there; return False where its input file is gone."""
        row = shipment.row
        state = None
        if row.step == CREATING:
            state = await self._found(row, (row.created_at_ms or 0) / 1000 + LISTED_AFTER_S)
            if state is None and await self._is_withdrawn(shipment):
                return True
        while state is None:
            if shipment.is_cancelled or row.file is None:  # it was salvaged, and is not at the provider
                return shipment.is_cancelled
            row = row._replace(step=CREATING, created_at_ms=_now_ms(), status=None, message=None)
            await self._note(shipment, row)
            try:
                state = await self._asked_for(shipment)
            except Gone:
                if not input_file(self.directory, row.id).exists():
                    raise Halted(self._stop(row, "bad_request", "its input file is gone")) from None
                return False
            if shipment.refused is not None:
                return True
            if state is None:  # it may have been created anyway
                state = await self._found(row, time.time() + LISTED_AFTER_S)
        await self._note(shipment, noted(row, state)._replace(step=CREATED))
        self.say(f"batch {row.id}: {counted(row.requests, 'request')} to {row.model}, {state.id}")
        return True

    async def _asked_for(self, shipment: Shipment) -> BatchState | None:
        """Ask for the creation of a batch, once; None where it is refused, or not known to be created.

        Raises:
            Gone: its input file is not there.
            Halted: nothing more can be sent.
        """
        row = shipment.row
        assert row.file is not None
        metadata = {RUN: self.identity(), NUMBER: str(row.id)}
        try:
            return await self.provider.create(row.file, endpoint_of(cast("RequestKind", row.kind)), metadata)
        except Refused as problem:
            shipment.refused = self._stop(row, "bad_request", problem.verdict.message)
        except Halted as halted:
            if not is_of_model(halted.stop.kind):
                raise
            shipment.refused = halted.stop
        return None

    async def _is_withdrawn(self, shipment: Shipment) -> bool:
        """Withdraw a batch that was never created, unless all its requests are wanted: the others would be paid."""
        row = shipment.row
        wanted = await self.collector.wanted(row)
        shipment.is_withdrawn = wanted < row.requests and not shipment.is_cancelled
        if shipment.is_withdrawn:
            left = f"{wanted:,} of {counted(row.requests, 'request')} are still wanted, and go into a new one"
            self.say(f"batch {row.id} was never created; {left}")
        return shipment.is_withdrawn

    async def _found(
        self, row: BatchRow, until_s: float, counts: Callable[[BatchState], bool] = lambda state: not _is_held(state)
    ) -> BatchState | None:
        """Return the batch that was created of a row; None if there is none until some time has passed.

        Were there two, the later one is cancelled. What a full queue has not taken does not count: it is tried again.
        """
        while True:
            states = await self.provider.batches(row.planned_at_ms / 1000 - _SKEW_S)
            own = [each for each in states if self._is_of(each, row) and counts(each)]
            for double in own[:-1]:
                await self.provider.cancel(double.id)
            if own:
                return own[-1]
            if time.time() >= until_s:
                return None
            await asyncio.sleep(_LOOK_S)

    def _is_of(self, state: BatchState, row: BatchRow) -> bool:
        named = (state.metadata.get(RUN), state.metadata.get(NUMBER)) == (self.identity(), str(row.id))
        return named or (row.file is not None and state.input_file == row.file)

    async def _ended(self, shipment: Shipment) -> BatchState:
        """Look after a batch until it has ended."""
        while True:
            row = shipment.row
            assert row.name is not None
            state = await self.provider.retrieve(row.name)
            if (now := noted(row, state)) != row:
                shipment.become(now)
                self.log.note(now)
            if state.is_ended:
                return state
            if shipment.is_cancelled and shipment.cancelled_s is None:
                shipment.cancelled_s = time.time()
                await self.provider.cancel(row.name)
            shipment.wake.clear()
            since_s = shipment.cancelled_s or (row.created_at_ms or 0) / 1000
            try:
                async with asyncio.timeout(poll_s(max(0.0, time.time() - since_s))):
                    await shipment.wake.wait()
            except TimeoutError:
                continue

    async def _returned(self, shipment: Shipment, delivered: Delivered) -> Delivered:
        """Have all lines of a batch wait for the next one."""
        await self.collector.release(shipment.row._replace(step=COLLECTED))
        return delivered

    async def _failed(self, shipment: Shipment, state: BatchState) -> Delivered:
        """Return what becomes of a batch that the provider has not taken."""
        row = shipment.row
        found = not_taken(state, row.requests)
        match found.cause:
            case Cause.QUEUE:
                await self._note(shipment, _not_created(row, found.message))
                return Delivered(Result(), is_queue_full=True, is_queue_of_model=state.is_queue_of_model)
            case Cause.SIZE:
                delivered = Delivered(Result(), is_too_large=True, problem=found.message)
            case Cause.MODEL | Cause.JOB:
                delivered = Delivered(Result(), stop=self._stop(row, found.kind, found.message))
            case Cause.OTHER:
                delivered = Delivered(Result(), problem=found.message)
            case Cause.LINES:
                places = await asyncio.to_thread(Sent(input_file(self.directory, row.id)).places)
                refused = {each.line: each.message for each in found.lines}
                failures = {place: refused[line] for line, place in enumerate(places, 1) if line in refused}
                await self.collector.fail(row, state, failures)
                return Delivered(Result())
        return await self._returned(shipment, delivered)

    def _stop(self, row: BatchRow, kind: str, message: str) -> Stop:
        text = (
            f"batch {row.id} of {row.model} is refused: {message.rstrip('.')}; {self.provider.cure_of(kind, row.model)}"
        )
        return Stop(kind=kind, message=text, exit_code=REFUSED)


def _is_held(state: BatchState) -> bool:
    """Return whether a batch was not taken for a full queue: one of the same file is created when there is room."""
    return state.status == FAILED and state.is_queue_full


def _not_created(row: BatchRow, message: str) -> BatchRow:
    """Return a batch as it was before it was created, with why it was not taken."""
    before = row._replace(step=UPLOADED, name=None, created_at_ms=None, expires_at_ms=None)
    return before._replace(status=None, completed=0, failed=0, message=message)


def _now_ms() -> int:
    return int(time.time() * 1000)
