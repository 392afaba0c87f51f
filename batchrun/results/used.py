"""What a run has used so far, over all its executions, also after it was killed: the only place that computes it.

Every answer states its tokens. They are in the totals of the checkpoint, and cost what `prices` says. Under a cap a run
also notes, before it sends a request, the most that all requests until then can have used. The difference between this
note and the totals belongs to requests whose answer broke off, was not recorded, or stated no tokens. They may have
been billed, so it stays set aside.
"""

from pathlib import Path
from typing import Protocol, TypeVar

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact, Facts
from batchrun.checkpoint.in_flight import noted_in
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.endpoint.pool.budget import NOTHING_USED, Amount, Used
from batchrun.job.judging import JUDGE
from batchrun.job.sections import Job
from batchrun.records import Parts, summed
from batchrun.results.prices import PriceOf, prices_in, recorded_job
from batchrun.results.usage import usage_rows

_ROUNDING_USD = 1e-9
"""Sums of money in another order differ by less than this."""

T = TypeVar("T")


class Kept(Protocol):
    """A checkpoint, open for reading or writing."""

    path: Path

    def fact(self, fact: Fact[T]) -> T | None: ...  # noqa: D102


def used_in(kept: Kept, job: Job, parts: Parts) -> Used:
    """Return what the executions of a run have used, including one that runs now.

    Args:
        kept: the run's checkpoint.
        job: its prices count.
        parts: of the totals of the checkpoint.
    """
    spent = stated(prices_in(kept, job), parts)
    note = noted_in(kept.path.parent)
    # The note was made at the prices of then: a price that was corrected since sets nothing aside.
    kept_usd, kept_tokens = kept_aside(kept)
    usd = (
        max(kept.fact(facts.SPENT_USD) or 0.0, note.usd) - stated(prices_in(kept, recorded_job(kept) or job), parts).usd
    )
    usd = max(kept_usd, usd)
    tokens = max(kept.fact(facts.SPENT_TOKENS) or 0, note.tokens) - spent.tokens
    return Used(spent, Amount(usd if usd > _ROUNDING_USD else 0.0, max(kept_tokens, tokens)))


def kept_aside(kept: Kept) -> Amount:
    """Return what is noted as set aside: of a run that sends, without what is in flight."""
    return Amount(kept.fact(facts.SET_ASIDE_USD) or 0.0, kept.fact(facts.SET_ASIDE_TOKENS) or 0)


def used_elsewhere(job: Job) -> Used:
    """Return what a cap counts besides the run itself: what its judge has used; of a judge, what the answers have used.

    The two never send at the same time: the judge is asked while the run holds the lock of its directory.

    Raises:
        RunDirectoryError: the checkpoint cannot be read, so that no cap can be kept.
    """
    directory = job.run_directory
    other = directory.parent if directory.name == JUDGE else directory / JUDGE
    if not (other / FILE_NAME).exists():
        return NOTHING_USED
    with Checkpoint(other) as checkpoint:
        its_job = recorded_job(checkpoint) or job
        is_lost = checkpoint.fact(facts.JOB) is None  # after a salvage
        is_pair = directory.name != JUDGE or is_lost or its_job.judge.model is not None
        return used_in(checkpoint, its_job, checkpoint.parts()) if is_pair else NOTHING_USED


def stated(prices: PriceOf, parts: Parts) -> Amount:
    """Return what the answers stated, at these prices; where a price is not known, they count no money."""
    named = {source: sums for source, sums in parts.items() if source.model}
    costs = [row["cost_usd"] or 0.0 for row in usage_rows(named, prices)]
    sums = summed(named.values())
    return Amount(sum(costs), max(sums.total_tokens, sums.prompt_tokens + sums.completion_tokens))


def keep_set_aside(kept: Facts, amount: Amount) -> None:
    """Note in the checkpoint what stays set aside: later executions, also those without a cap, do not change it."""
    if any(amount):
        kept.set_fact(facts.SET_ASIDE_USD, amount.usd)
        kept.set_fact(facts.SET_ASIDE_TOKENS, amount.tokens)
