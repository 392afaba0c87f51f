"""The batches that earlier executions have left, as they can be taken up now."""

import asyncio
from typing import NamedTuple

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import COLLECTED, CREATED, CREATING, BatchRow
from batchrun.checkpoint.store import Store
from batchrun.engine.batches.files import note_run
from batchrun.engine.batches.open import account_of, as_it_is_at
from batchrun.engine.batches.parts import Parts
from batchrun.engine.batches.provider import Halted
from batchrun.engine.batches.recovered import facts_of_run
from batchrun.job.sections import Job


class LeftOver(NamedTuple):
    """Batches that are not collected."""

    own: list[BatchRow]
    given_up: list[BatchRow]
    """Another account's: nothing can be asked about them with the key of now."""
    answered: int
    """Requests that the others have answered."""


async def left_over(job: Job, store: Store, parts: Parts, *, is_ending: bool) -> LeftOver:
    """Return the batches that are not collected; note whose they are next to their files.

    Args:
        job: that is run.
        store: with the batches.
        parts: of the pool; its client is open.
        is_ending: whether they are to be cancelled.

    Raises:
        Halted: they may be another account's.
    """
    rows = await asyncio.to_thread(store.batches.batches)
    parts.planner.number = max((row.id for row in rows), default=0)
    refusal = await parts.owner.refusal(rows, parts.courier.is_seen)
    if refusal is not None and not is_ending:
        raise Halted(refusal)
    before, account = store.fact(facts.BATCHES_AT), account_of(job.endpoint)
    store.set_fact(facts.BATCHES_AT, account)
    if refusal is None:
        parts.owner.take_over()
    await store.batches.committed()
    await asyncio.to_thread(note_run, job.run_directory, facts_of_run(store))
    left, given_up = [], []
    for row in as_it_is_at(account, before, rows, is_other_key=parts.owner.is_other):
        if refusal is not None and row.step in (CREATING, CREATED):
            given_up.append(row)
        elif row.step != COLLECTED:
            left.append(row)
    return LeftOver(left, given_up, sum(row.answered for row in rows if row.step == COLLECTED))
