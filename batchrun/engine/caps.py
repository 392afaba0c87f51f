"""The caps of a job as the pool keeps them: money and tokens over all its runs, requests and tokens per minute."""

from functools import reduce
from math import inf

from batchrun.endpoint.pool.budget import NO_CAP, NOTHING_USED, Amount, Budget, Least, Stated, Used, Worst
from batchrun.endpoint.pool.rates import Rates
from batchrun.errors import JobError
from batchrun.job.catalogue import PriceLike, cap_text, cost_usd, price_cure, price_of
from batchrun.job.endpoint import Endpoint
from batchrun.job.limits import Limits
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
    return Budget(cap, before, *_pricing(job, job.endpoint, cap.usd), elsewhere)


def budget_at(job: Job, budget: Budget, endpoint: Endpoint) -> Budget:
    """Return a job's budget with the prices of one of its endpoints."""
    return budget.at(*_pricing(job, endpoint, budget.cap.usd))


def _pricing(job: Job, endpoint: Endpoint, cap_usd: float) -> tuple[Worst, Stated, Least]:
    """Return what requests to an endpoint can use at most, what answers have used, and have used at least."""
    prices: dict[str, PriceLike | None] = {}

    def price(model: str) -> PriceLike | None:
        if model not in prices:
            prices[model] = price_of(endpoint, model, job.prices)
        return prices[model]

    unknown_usd = 0.0 if cap_usd == inf else inf  # a row may name a model without a price: it cannot keep the cap

    def worst(request: Request) -> Amount:
        if request.members:
            return reduce(Amount.plus, map(worst, request.members))
        usage = worst_usage(request.model, request.body, request.kind)
        usd = cost_usd(usage, price(request.model))
        return Amount(unknown_usd if usd is None else usd, _tokens(usage) or 0)

    def used(model: str, usage: Usage) -> Amount | None:
        tokens = _tokens(usage)
        usd = cost_usd(usage, price(model))
        if tokens is None or (usd is None and cap_usd != inf):
            return None
        return Amount(usd or 0.0, tokens)

    return worst, used, lambda model, usage: _least(usage, price(model))


def rates_of(job: Job) -> dict[str, Rates]:
    """Return the rates of each endpoint of a job, by name, under those of the whole job.

    Tokens are counted as `prompts.size` expects them, images as images.
    """
    whole = _rates(job.limits)
    return {name: _rates(endpoint, whole) for name, endpoint in job.endpoints.items()}


def _rates(stated: Limits | Endpoint, whole: Rates | None = None) -> Rates:
    requests, tokens = stated.requests_per_minute, stated.tokens_per_minute
    return Rates(requests, tokens, lambda request: sum(expected_tokens(each.body) for each in request.rows), whole)


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
    asked = [(job.endpoints[name], model) for model in job.asked_models for name in job.serving(model)]
    unknown = [(endpoint, model) for endpoint, model in asked if price_of(endpoint, model, job.prices) is None]
    if unknown and simulated:
        return inf  # nothing is paid: a job can be tried before its prices are known
    if unknown:
        endpoint, model = unknown[0]
        where = f" at {endpoint.base_url}" if job.has_several_endpoints else ""
        cure = price_cure(endpoint, model)
        raise JobError(f"limits.max_cost_usd = {cap_text(cap_usd)}: the price of {model}{where} is not known; {cure}")
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
