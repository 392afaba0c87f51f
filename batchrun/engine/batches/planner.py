"""Plans batches: requests become files, as large as the provider takes and the caps allow."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from batchrun.checkpoint.batch_tables import BatchRow
from batchrun.checkpoint.batches import BatchLog
from batchrun.endpoint.batches.settling import Asked, refused_outcome
from batchrun.endpoint.pool.budget import Amount, Budget
from batchrun.engine.batches.draft import Draft
from batchrun.engine.batches.files import remove_files
from batchrun.engine.batches.least_size import least_requests, too_few_text
from batchrun.engine.batches.provider import Halted
from batchrun.job.batch_providers import Most
from batchrun.prompts.size import expected_tokens
from batchrun.records import BatchLine, Outcome, Request, Stop


class Traffic(Protocol):
    """Takes batches, and knows those that are under way."""

    def ready(self, row: BatchRow, tokens: float) -> None:
        """Take a batch that is written and noted, and about how many tokens its prompts have."""

    @property
    def is_ending(self) -> bool:
        """Whether no new batch is sent."""

    async def room(self) -> None:
        """Wait until a batch has ended, which frees some of what the caps allow."""

    def under_way(self) -> int:
        """Return how many requests are in batches that will free some."""

    def answered(self) -> int:
        """Return how many requests the batches of the run have answered that have ended."""


@dataclass(kw_only=True)
class Planner:
    """Plans the batches of one endpoint."""

    log: BatchLog
    directory: Path
    most: Most
    kinds: Collection[str]
    """Of requests that the provider takes in batches."""
    its_model: Callable[[str], str]
    """Returns the name that a model has at the endpoint."""
    budget: Budget | None
    endpoint: str
    put: Callable[[Outcome], None]
    traffic: Traffic
    closed: Collection[str]
    """Models that nothing more is sent to."""
    number: int = 0
    """Of the last batch."""
    most_tokens: dict[str, float] = field(default_factory=dict)
    """How many tokens of prompts a batch may have, by model, as far as the provider has shown it."""
    _drafts: dict[tuple[str, str], Draft] = field(default_factory=dict)

    async def plan(self, feed: AsyncIterator[Sequence[Request]]) -> int:
        """Write all requests into batches that are neither settled nor in one; return how many there were."""
        planned = 0
        try:
            async for requests in feed:
                for request, line in await asyncio.to_thread(self.log.to_send, requests):
                    if request.model in self.closed:
                        continue
                    planned += 1
                    await self._add(request, line)
                    if self.traffic.is_ending:
                        return planned
            await self._close_all()
        finally:
            for draft in self._drafts.values():
                self._abandon(draft)
            self._drafts.clear()
        return planned

    async def _add(self, request: Request, line: BatchLine | None) -> None:
        if request.kind not in self.kinds:
            self._refuse(request, line, f"requests of the kind {request.kind} cannot be sent in a batch")
            return
        draft = await self._draft(request)
        text = draft.text_of(request, line, self.its_model(request.model))
        tokens = expected_tokens(request.body)
        if len(text) > self.most.size_bytes:
            self._refuse(
                request, line, f"the request has {len(text):,} bytes, a batch at most {self.most.size_bytes:,}"
            )
            return
        if self._is_full(draft, text, tokens):
            await self._close(draft)
            draft = await self._draft(request)
            text = draft.text_of(request, line, self.its_model(request.model))
        worst = Amount()
        if self.budget is not None:
            worst = self.budget.worst(request)
            while not self.budget.hold(worst):
                await self._make_room(self.budget)
                if self.traffic.is_ending:
                    return
            draft = await self._draft(request)
            text = draft.text_of(request, line, self.its_model(request.model))
        draft.add(request, line, text, worst, tokens)

    async def _make_room(self, budget: Budget) -> None:
        """Send the drafts if they are worth it; else wait for what batches under way free, and go on with them.

        Raises:
            Halted: no batch is under way, and the caps do not allow as many requests as are worth sending.
        """
        sizes = [each.requests for each in self._drafts.values() if each.requests]
        fitting, under_way = sum(sizes), self.traffic.under_way()
        least = least_requests(len(sizes), answered=self.traffic.answered(), under_way=under_way)
        if fitting >= least:
            await self._close_all()
        elif under_way:
            await self.traffic.room()
        else:
            is_of_price = budget.refused.usd == math.inf
            few = too_few_text(budget.texts, fitting=fitting, least=least)
            message = few if fitting and not is_of_price else budget.message
            raise Halted(Stop(kind=budget.kind, message=message, exit_code=5))

    def _is_full(self, draft: Draft, text: bytes, tokens: float) -> bool:
        if not draft.requests:
            return False
        most_tokens = self.most_tokens.get(draft.model, math.inf)
        return (
            draft.requests >= self.most.requests
            or draft.size_bytes + len(text) > self.most.size_bytes
            or draft.tokens + tokens > most_tokens
        )

    async def _draft(self, request: Request) -> Draft:
        key = (request.model, request.kind)
        if key not in self._drafts:
            self.number += 1
            self._drafts[key] = await self._begun(request)
        return self._drafts[key]

    async def _begun(self, request: Request) -> Draft:
        begun = asyncio.ensure_future(asyncio.to_thread(Draft, self.log, self.directory, self.number, request))
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            self._abandon(await begun)  # no thread can be cancelled: it has opened a file
            raise

    async def _close_all(self) -> None:
        for draft in list(self._drafts.values()):
            await self._close(draft)

    async def _close(self, draft: Draft) -> None:
        del self._drafts[draft.model, draft.kind]
        if not draft.requests:
            self._abandon(draft)
            return
        closing = asyncio.ensure_future(asyncio.to_thread(draft.close))
        try:
            row = await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing  # one that has not begun would leave its files open
            raise
        await self.log.committed()
        self.traffic.ready(row, draft.tokens)

    def _abandon(self, draft: Draft) -> None:
        """Have the requests of a batch that is not completed wait for another one."""
        draft.abandon()
        if self.budget is not None:
            self.budget.collected(draft.held, (), 0.0)
        self.log.put_back(draft.number)
        remove_files(self.directory, draft.number)

    def _refuse(self, request: Request, line: BatchLine | None, message: str) -> None:
        """Settle a request that no batch takes."""
        number = self.log.id_of(request)
        known = line or BatchLine(0, number, number, request.key, request.custom_id)
        asked = Asked(request.row, request.model, request.sample, self.endpoint)
        self.put(refused_outcome(known, message, int(time.time() * 1000), asked))
