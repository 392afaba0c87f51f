"""The caps of a job as the pool keeps them: money and tokens over all its runs, requests and tokens per minute."""

from collections.abc import Mapping
from math import inf

from batchrun.checkpoint import facts
from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.budget import Amount, Budget
from batchrun.endpoint.pool.rates import Rates
from batchrun.errors import JobError
from batchrun.job.catalogue import PriceLike, cost_usd, price_of, prices_of
from batchrun.job.sections import Job
from batchrun.prompts.size import expected_tokens, worst_usage
from batchrun.records import ModelTotals, Request, Usage, summed
from batchrun.results.usage import usage_rows


def budget_of(job: Job, spent: Amount, *, simulated: bool) -> Budget | None:
    """Return what is left of the job's caps on money and tokens after what was spent; None when it has none.

    Raises:
        JobError: a model has no price, so that no cap on money could be kept.
    """
    cap = Amount(_cap_usd(job, simulated=simulated), job.limits.max_tokens_total or inf)
    if cap == (inf, inf):
        return None
    prices: dict[str, PriceLike | None] = {}

    def price(model: str) -> PriceLike | None:
        if model not in prices:
            prices[model] = price_of(model, job.prices, job.endpoint.provider)
        return prices[model]

    unknown_usd = 0.0 if cap.usd == inf else inf  # a row that names its own model: nobody can say that it keeps the cap

    def worst(request: Request) -> Amount:
        usage = worst_usage(request.model, request.body)
        usd = cost_usd(usage, price(request.model))
        return Amount(unknown_usd if usd is None else usd, _tokens(usage) or 0)

    def used(model: str, usage: Usage) -> Amount | None:
        tokens = _tokens(usage)
        usd = cost_usd(usage, price(model))
        if tokens is None or (usd is None and cap.usd != inf):
            return None
        return Amount(usd or 0.0, tokens)

    return Budget(cap, spent, worst, used)


def rates_of(job: Job) -> Rates:
    """Return the job's rates; tokens are counted as `prompts.size` expects them, images as images."""
    limits = job.limits
    return Rates(limits.requests_per_minute, limits.tokens_per_minute, lambda request: expected_tokens(request.body))


def spent_before(job: Job, totals: Mapping[str, ModelTotals], noted: Amount) -> Amount:
    """Return what the runs of a job have used.

    Args:
        job: whose prices count.
        totals: what its answers have stated.
        noted: what was noted beside them, which has also what was cut off.
    """
    named = {model: sums for model, sums in totals.items() if model}
    costs = [row["cost_usd"] or 0.0 for row in usage_rows(named, prices_of(job, named))]
    sums = summed(named.values())
    return Amount(
        max(sum(costs), noted.usd),
        max(sums.total_tokens, sums.prompt_tokens + sums.completion_tokens, noted.tokens),
    )


def noted_in(store: Store) -> Amount:
    """Return what was noted in a run directory: at the end of a run, or as one died."""
    return Amount(
        max(store.spent_usd, store.fact(facts.SPENT_USD) or 0.0),
        max(store.spent_tokens, store.fact(facts.SPENT_TOKENS) or 0),
    )


def keep_spent(store: Store, spent: Amount) -> None:
    """Have the checkpoint remember what was used, beyond what answers have stated; also for a run with other caps."""
    if any(spent):
        store.set_fact(facts.SPENT_USD, spent.usd)
        store.set_fact(facts.SPENT_TOKENS, spent.tokens)


def _cap_usd(job: Job, *, simulated: bool) -> float:
    cap_usd = job.limits.max_cost_usd
    if cap_usd is None:
        return inf
    unknown = [model for model, price in prices_of(job, dict.fromkeys(job.models)).items() if price is None]
    if unknown and simulated:
        return inf  # nothing is paid, and a job should be tried before its prices are looked up
    if unknown:
        cure = f'say what it costs under [prices."{unknown[0]}"]'
        raise JobError(f"limits.max_cost_usd = {cap_usd:g}: no price is known for {unknown[0]}; {cure}")
    return cap_usd


def _tokens(usage: Usage) -> int | None:
    """Return the tokens of an answer; None where it does not say."""
    if usage.prompt_tokens is not None and usage.completion_tokens is not None:
        return max(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens or 0)
    return usage.total_tokens
