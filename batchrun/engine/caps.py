"""The caps of a job as the pool keeps them: money and tokens over all its runs, requests and tokens per minute."""

from math import inf

from batchrun.endpoint.pool.budget import NO_CAP, NOTHING_USED, Amount, Budget, Used
from batchrun.endpoint.pool.rates import Rates
from batchrun.errors import JobError
from batchrun.job.catalogue import PriceLike, cap_text, cost_usd, price_cure, price_of, prices_of
from batchrun.job.sections import Job
from batchrun.prompts.size import expected_tokens, worst_usage
from batchrun.records import Request, Usage


def budget_of(job: Job, before: Used, elsewhere: Used = NOTHING_USED, *, simulated: bool) -> Budget | None:
    """Return what keeps the job's caps on money and tokens; None when it has none.

    Args:
        job: its caps and prices count.
        before: what earlier executions have used.
        elsewhere: what the judge has used; of a judge, what the answers have used.
        simulated: whether nothing is paid; then a model may have no price.

    Raises:
        JobError: a model has no price, so that no cap on money could be kept.
    """
    cap = Amount(cap_usd_of(job, simulated=simulated), job.limits.max_tokens_total or inf)
    if cap == NO_CAP:
        return None
    prices: dict[str, PriceLike | None] = {}

    def price(model: str) -> PriceLike | None:
        if model not in prices:
            prices[model] = price_of(job.endpoint, model, job.prices)
        return prices[model]

    unknown_usd = 0.0 if cap.usd == inf else inf  # a row may name a model without a price: it cannot keep the cap

    def worst(request: Request) -> Amount:
        usage = worst_usage(request.model, request.body, request.kind)
        usd = cost_usd(usage, price(request.model))
        return Amount(unknown_usd if usd is None else usd, _tokens(usage) or 0)

    def used(model: str, usage: Usage) -> Amount | None:
        tokens = _tokens(usage)
        usd = cost_usd(usage, price(model))
        if tokens is None or (usd is None and cap.usd != inf):
            return None
        return Amount(usd or 0.0, tokens)

    return Budget(cap, before, worst, used, lambda model, usage: _least(usage, price(model)), elsewhere)


def rates_of(job: Job) -> Rates:
    """Return the job's rates; tokens are counted as `prompts.size` expects them, images as images."""
    limits = job.limits
    return Rates(limits.requests_per_minute, limits.tokens_per_minute, lambda request: expected_tokens(request.body))


def cap_usd_of(job: Job, *, simulated: bool) -> float:
    """Return the job's cap on money; infinite without one.

    Args:
        job: its cap, models and prices count.
        simulated: whether nothing is paid; then there is no cap where a model has no price.

    Raises:
        JobError: a model has no price, so that the cap could not be kept.
    """
    cap_usd = job.limits.max_cost_usd
    if cap_usd is None:
        return inf
    unknown = [model for model, price in prices_of(job, dict.fromkeys(job.models)).items() if price is None]
    if unknown and simulated:
        return inf  # nothing is paid: a job can be tried before its prices are known
    if unknown:
        cure = price_cure(job.endpoint, unknown[0])
        raise JobError(f"limits.max_cost_usd = {cap_text(cap_usd)}: the price of {unknown[0]} is not known; {cure}")
    return cap_usd


def _least(usage: Usage, price: PriceLike | None) -> Amount:
    """Return what stays set aside at least for an answer that states its tokens only in part."""
    tokens = max(usage.total_tokens or 0, usage.prompt_tokens or 0, usage.completion_tokens or 0)
    dearest = 0.0 if price is None else max(price.input_usd_per_mtok, price.output_usd_per_mtok)
    return Amount(tokens * dearest / 1_000_000, tokens)


def _tokens(usage: Usage) -> int | None:
    """Return the tokens of an answer; None when it does not state them."""
    if usage.prompt_tokens is not None and usage.completion_tokens is not None:
        return max(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens or 0)
    return usage.total_tokens
