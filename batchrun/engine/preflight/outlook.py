"""What is ahead of a job: requests, tokens, money and time as ranges, and what is wrong with its models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from batchrun.endpoint.pool.budget import NOTHING_USED, Used
from batchrun.engine.preflight.duration import bounds_of, duration
from batchrun.engine.preflight.estimate import Asked, Forecast, Known, forecast, total
from batchrun.engine.preflight.ranges import ALIKE, Range
from batchrun.engine.preflight.serving import idle_notes, unasked_notes
from batchrun.engine.preflight.survey import Survey
from batchrun.job.catalogue import (
    cap_text,
    charged,
    cost_text,
    is_reasoning,
    load_prices,
    price_cure,
    retirement_text,
    usd_text,
    used_text,
)
from batchrun.job.endpoint import BATCH, Endpoint
from batchrun.job.sections import Job
from batchrun.prompts.bundles import Together
from batchrun.records import RowCount
from batchrun.report.texts import counted, duration_text, rows_text, short_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is left of a job, and what it will use."""

    requests: int
    """To be sent."""
    bundles: int
    """In which they travel."""
    prompt_tokens: Range
    completion_tokens: Range
    usd: Range | None
    """None when a price is not known."""
    seconds: Range | None
    """None when it is not known how many requests the endpoint takes at once."""
    slots: int | None
    """How many it takes."""
    answers: int
    """Answers that the lengths were learned from; without any they are assumed."""
    models: list[Forecast]
    fallbacks: list[tuple[str, Forecast]] = field(default_factory=list)
    """Models, and what their fallback would use in addition if it had to answer all their requests."""
    pace: str = ""
    """What the time depends on: `with 50 in flight`, `at 600 requests per minute`, or both; empty when not known."""

    @property
    def total_tokens(self) -> Range:
        """Prompts and answers."""
        return self.prompt_tokens.plus(self.completion_tokens)


def look_ahead(
    job: Job,
    asked: Mapping[str, Asked],
    known: Mapping[str, Known],
    *,
    slots: Mapping[str, int] | None,
    lengths: Range = ALIKE,
) -> Outlook:
    """Return what is ahead.

    Args:
        job: what to run.
        asked: what remains for each model.
        known: what is known of the models' answers.
        slots: requests that each endpoint takes at once, by its name; None when that is not known.
        lengths: of their prompts, as factors to what `asked` has, because not all were looked at.
    """
    models = [
        forecast(model, part, known.get(model) or known_of(model), charged(job, model), lengths, Together.of(job))
        for model, part in asked.items()
    ]
    costs = [model.usd for model in models]
    seconds, pace = None, ""
    if slots is not None and job.endpoint.via != BATCH:  # the provider takes the time that it takes
        seconds, pace = duration(job, models, slots)
        if any(model not in known or known[model].latency_s is None for model in asked):
            pace += _ASSUMED
    return Outlook(
        requests=round(sum(model.requests for model in models)),
        bundles=round(sum(model.bundles for model in models)),
        prompt_tokens=total(model.prompt_tokens for model in models),
        completion_tokens=total(model.completion_tokens for model in models),
        usd=None if None in costs else total(usd for usd in costs if usd is not None),
        seconds=seconds,
        slots=None if slots is None else bounds_of(job, job.endpoints, slots).slots,
        answers=min((known[model].answers if model in known else 0 for model in asked), default=0),
        models=models,
        fallbacks=[
            (model, forecast(other, part, known.get(other) or known_of(other), charged(job, other), lengths))
            for model, part in asked.items()
            if (other := job.fallbacks.get(model)) is not None
        ],
        pace=pace,
    )


_ASSUMED = " (assumed: no answer has shown yet how long one takes)"


def known_of(model: str) -> Known:
    """Return what is known of a model before it has answered."""
    return Known(reasons=is_reasoning(model))


class Excess(NamedTuple):
    """Why a job will exceed a cap, and what to do."""

    reason: str
    flag: str
    """The flag of the cap."""

    @property
    def text(self) -> str:
        """Reason and cure."""
        return f"{self.reason}; raise it ({self.flag}), or send fewer rows (--limit)"


def excess(job: Job, ahead: Outlook, used: Used, what: str = "the remaining requests") -> Excess | None:
    """Return why requests will exceed the job's caps; None when they may stay below them.

    The low end of the estimate counts. The caps are kept in any case.

    Args:
        job: its caps count.
        ahead: of these requests.
        used: what earlier executions have used of the caps.
        what: the requests, for people.
    """
    limits = job.limits
    if limits.max_cost_usd is not None and ahead.usd and used.total.usd + ahead.usd.low > limits.max_cost_usd:
        costs = f"{what} will cost {range_text(ahead.usd, usd_text)} USD{_in_brackets(spent_so_far(used))}"
        return Excess(f"{costs}; the cap is {cap_text(limits.max_cost_usd)} USD", "--max-cost")
    total = ahead.total_tokens
    if limits.max_tokens_total is not None and used.total.tokens + total.low > limits.max_tokens_total:
        uses = f"{what} will use {range_text(total, count_text)} tokens{_in_brackets(_used_so_far(used))}"
        return Excess(f"{uses}; the cap is {limits.max_tokens_total:,}", "--max-tokens-total")
    return None


def spent_so_far(used: Used) -> str:
    """Return what was spent, for people; empty when nothing was."""
    spent_usd, set_aside_usd = used.spent.usd, used.set_aside.usd
    return f"spent so far: {cost_text(spent_usd, set_aside_usd)}" if spent_usd or set_aside_usd else ""


def _used_so_far(used: Used) -> str:
    tokens, set_aside = used.spent.tokens, used.set_aside.tokens
    text = used_text(tokens, set_aside, lambda tokens: counted(round(tokens), "token"))
    return f"used so far: {text}" if tokens or set_aside else ""


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _catalogue_note(job: Job, endpoint: Endpoint, model: str, its: str, today: date) -> list[str]:
    """Return what the catalogue knows, or does not know, of a model at W&B, where it is called `its`."""
    if endpoint.provider != "wandb":
        return []
    if end := retirement_text(its, today):
        return [f"{model}: {end} (`batchrun models` lists what is served)"]
    is_priced = its in load_prices() or model in job.prices or model in endpoint.prices
    return [] if is_priced else [f"{model}: is not in the built-in catalogue; {price_cure(endpoint, model)}"]


def model_notes(job: Job, survey: Survey, today: date, *, is_whole: bool) -> list[str]:
    """Return what people should know of a job's models before they send anything.

    Args:
        job: that is run.
        survey: of its requests.
        today: for models that are switched off.
        is_whole: whether the survey is of all requests.
    """
    notes = [*idle_notes(job), *(unasked_notes(job, survey.models) if is_whole or job.models else [])]
    for model in dict.fromkeys((*survey.models, *job.fallbacks.values())):
        for name, its in job.serving(model).items():
            notes += _catalogue_note(job, job.endpoints[name], model, its, today)
    for model, part in survey.models.items():
        if part.too_long:
            window = f"its window of {part.context_tokens:,} tokens"
            prompts = f"about {counted(part.too_long, 'prompt')} with the longest answer"
            other = job.fallbacks.get(model)
            then = f"; what it refuses is asked of {other}" if other else ""
            notes.append(f"{model}: {prompts} would not fit into {window}{then}")
        if part.bounded < part.requests and (job.limits.max_cost_usd or job.limits.max_tokens_total):
            notes.append(
                f"{model}: max_tokens is not set for all requests; for the others the whole context window is set aside"
            )
    return list(dict.fromkeys(notes))


def ahead_lines(
    ahead: Outlook,
    cap_usd: float | None = None,
    used: Used = NOTHING_USED,
    *,
    is_guess: bool = False,
    most: int | None = None,
    made_of: str = "",
) -> list[str]:
    """Return what is ahead, in short, for people; nothing about what is not known.

    Args:
        ahead: what is left of the job.
        cap_usd: of the job.
        used: what earlier executions have used of the cap.
        is_guess: whether the requests were not all read, so that their number, tokens and cost are guesses.
        most: how many requests there are at most, where that is certain: as many as rows are left, some may be broken.
        made_of: what `product_text` returns.
    """
    about, source = "about " if is_guess else "", "" if _is_length_known(ahead) else " (answers of unknown length)"
    ins, outs = (range_text(each, count_text) for each in (ahead.prompt_tokens, ahead.completion_tokens))
    tokens = f"{ins} tokens in, {outs} out"
    count = f"{about}{counted(ahead.requests, 'request')}"
    if most is not None:
        count = f"up to {counted(most, 'request')}"
    lines = [f"{count}{_in_brackets(made_of)}{bundles_text(ahead)}, {about}{tokens}{source}"]
    if ahead.usd is not None:
        cap = "" if cap_usd is None else f"; the cap is {cap_text(cap_usd)} USD{_in_brackets(spent_so_far(used))}"
        lines.append(f"cost of these  {about}{range_text(ahead.usd, usd_text)} USD{cap}")
    lines += map(fallback_text, ahead.fallbacks)
    if ahead.seconds is not None:
        lines.append(f"time for these {range_text(ahead.seconds, duration_text)}, {ahead.pace}")
    return lines


def _is_length_known(ahead: Outlook) -> bool:
    """Return whether answers have been seen, or have no text that could be long or short."""
    return bool(ahead.answers) or not ahead.completion_tokens.high


def bundles_text(ahead: Outlook) -> str:
    """Return in how many bundles requests travel, for people; empty where each travels alone."""
    return "" if ahead.bundles == ahead.requests else f", together in about {counted(ahead.bundles, 'bundle')}"


def fallback_text(fallback: tuple[str, Forecast]) -> str:
    """Return what a fallback may cost in addition, for people: an entry of `Outlook.fallbacks`."""
    model, its = fallback
    usd = "" if its.usd is None else f", for up to {usd_text(its.usd.high)} USD more"
    return f"rows that {model} fails are asked of {its.model}: up to {its.requests:,.0f}{usd}"


def product_text(job: Job, inputs: RowCount | None) -> str:
    """Return how input rows become rows of the results, for people; empty where each becomes one."""
    if job.per_row == 1 or inputs is None:
        return ""
    factors = [f"{rows_text(inputs)} input {'row' if inputs.rows == 1 else 'rows'}"]
    factors += [counted(count, noun) for count, noun in _factors(job) if count > 1]
    return f"in all {' × '.join(factors)}"


def _factors(job: Job) -> tuple[tuple[int, str], ...]:
    return (len(job.models), "model"), (job.model.num_samples, "sample")


def range_text(span: Range, text: Callable[[float], str]) -> str:
    """Return a range for people; one figure where both ends read alike."""
    return " – ".join(dict.fromkeys((text(span.low), text(span.high))))


def count_text(count: float) -> str:
    """Return a count, in short."""
    return short_count(round(count))


def asked_of(survey: Survey, left: Mapping[str, float]) -> dict[str, Asked]:
    """Return what so many requests to each model ask, if they are like those that were looked at.

    Args:
        survey: of requests that were looked at.
        left: how many requests of each model are asked about.
    """
    return {model: part.asked(left[model]) for model, part in survey.models.items() if left.get(model)}
