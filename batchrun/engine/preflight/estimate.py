"""What a job will use, before anybody knows: tokens of its prompts and answers, money, time; each as a range. Pure.

Theory of operation. Tokens of a text are estimated from its characters, by kind: a word of English is one token to its
common vocabularies, a Chinese character two thirds of one. That is off by a tenth or so, and by as much for all prompts
of a job alike; so it is corrected as soon as there is something to take that from: a tokenizer, or answers that state
their tokens. Where the rows left are longer or shorter than the rows it was taken from, nobody knows whether the
difference is in what a chat template adds to each prompt or in its text: the range covers both. Prompts do not show how
long answers are. Before the first answer there is only what the request allows and what models commonly say; from then
on the mean of those that came.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Any, NamedTuple

from batchrun.engine.preflight.prompt_fit import UNKNOWN_SHARE, PromptFit
from batchrun.engine.preflight.ranges import ALIKE, NOTHING, Range
from batchrun.job.catalogue import PriceLike, cost_usd, price_entry
from batchrun.prompts.bundles import ALONE, Together
from batchrun.prompts.size import IMAGE_TOKENS_LIKELY, IMAGE_TOKENS_LOW, IMAGE_TOKENS_MOST
from batchrun.records import Usage

# Answers.

_ANSWER_TOKENS = Range(4, 200, 1_000)
"""From a label to a page: what is assumed of answers before one has come."""

_REASONED_TOKENS = Range(100, 1_200, 8_000)
"""The same of models that reason first."""

_SPREAD = 0.7
"""Standard deviation of the length of answers in one job, as a share of their mean: an assumption, on the high side for
labels and on the low side for reasoning."""

_LEAST_SHARE = 0.03
"""No estimate is more exact than this."""


@dataclass(slots=True, kw_only=True)
class Known:
    """What is known of a model's answers to this job; None where nothing is."""

    answers: int = 0
    """How many answers it was learned from."""
    answer_tokens: float | None = None
    """Mean."""
    cached_share: float = 0.0
    """Of the prompts' tokens."""
    latency_s: float | None = None
    """Mean."""
    prompts: PromptFit | None = None
    """How tokens of prompts follow from what was estimated of them."""
    prompts_are_shares: bool = False
    """Whether they were learned from answers whose prompt was paid once for several samples: each has its share."""
    reasons: bool = False
    """Whether the model reasons before it answers."""

    @property
    def share(self) -> float:
        """How far the true mean may be from that of the answers that came, about: two standard errors."""
        return max(_LEAST_SHARE, 2 * _SPREAD / sqrt(max(1, self.answers)))


def answer_range(known: Known, bound: float | None) -> Range:
    """Return how long an answer is, in tokens.

    Args:
        known: of the model.
        bound: longest that is allowed; None without a bound.
    """
    if known.answer_tokens is not None:
        length = Range.around(known.answer_tokens, known.share)
    else:
        length = _REASONED_TOKENS if known.reasons else _ANSWER_TOKENS
    return length if bound is None else length.at_most(bound)


# A model's part of the job.

_IMAGE_TOKENS = Range(IMAGE_TOKENS_LOW, IMAGE_TOKENS_LIKELY, IMAGE_TOKENS_MOST)


class Asked(NamedTuple):
    """What is to be asked of a model: sums over requests, of which some or all were looked at."""

    requests: float
    tokens: float
    """Of the prompts, estimated."""
    images: float
    bounded: float
    """Requests that bound their answer."""
    bound_tokens: float
    """The sum of these bounds."""


class Forecast(NamedTuple):
    """What one model's part of a job will use."""

    model: str
    requests: float
    bundles: float
    """In which they travel: as many as requests where each travels alone."""
    prompt_tokens: Range
    completion_tokens: Range
    usd: Range | None
    """None when no price is known."""
    busy_s: Range
    """Time of all its requests one after the other."""
    prices: list[dict[str, Any]] = []  # noqa: RUF012  # nobody appends to it
    """What a token costs, with source and date; several where endpoints differ."""


def forecast(
    model: str,
    asked: Asked,
    known: Known,
    prices: Sequence[PriceLike],
    lengths: Range = ALIKE,
    together: Together = ALONE,
) -> Forecast:
    """Return what so many requests will use.

    Args:
        model: that is asked.
        asked: what it is asked.
        known: of its answers.
        prices: of the model, at each endpoint; none where one is not known.
        lengths: of their prompts, as factors to what `asked` has, because not all were looked at.
        together: how they travel.
    """
    bundles, paid = together.bundles(asked.requests, asked.tokens), together.prompts / together.requests
    prompts = _prompt_range(asked, known, lengths).times(1.0 if known.prompts_are_shares else paid)
    prompts = prompts.plus(_IMAGE_TOKENS.times(asked.images * paid))
    free = asked.requests - asked.bounded
    answers = answer_range(known, None).times(free)
    if asked.bounded:
        bound = asked.bound_tokens / asked.bounded
        answers = answers.plus(answer_range(known, bound).times(asked.bounded))
    each = answers.times(1 / asked.requests) if asked.requests else NOTHING
    return Forecast(
        model,
        asked.requests,
        bundles,
        prompts,
        answers,
        _usd(prompts, answers, known.cached_share, prices),
        latency_range(known, each).times(bundles),
        [entry for price in prices if (entry := price_entry(price))],
    )


def _prompt_range(asked: Asked, known: Known, lengths: Range) -> Range:
    if not asked.requests:
        return NOTHING
    each = lengths.times(asked.tokens / asked.requests)
    if known.prompts is not None:
        return known.prompts.tokens(each).times(asked.requests)
    low, likely, high = each.times(asked.requests)
    return Range(low * (1 - UNKNOWN_SHARE), likely, high * (1 + UNKNOWN_SHARE))


def _usd(prompts: Range, answers: Range, cached_share: float, prices: Sequence[PriceLike]) -> Range | None:
    """Return the cost, from that at the cheapest endpoint to that at the dearest: any of them may answer."""
    if not prices:
        return None
    low, likely, high = (
        [cost_usd(Usage(round(ins), round(outs), None, round(ins * cached_share)), price) or 0.0 for price in prices]
        for ins, outs in zip(prompts, answers, strict=True)
    )
    return Range(min(low), fmean(likely), max(high))


# Time.

_FIRST_TOKEN_S = Range(0.2, 0.6, 2.0)
_TOKENS_PER_S = Range(150.0, 60.0, 20.0)
"""How soon and how fast a busy endpoint answers, where nothing has been measured."""

_LATENCY_SHARE = 0.25
"""How far a latency that was measured may be from what comes."""


def latency_range(known: Known, answer_tokens: Range) -> Range:
    """Return how long a request takes, in seconds."""
    if known.latency_s is not None:
        return Range.around(known.latency_s, _LATENCY_SHARE + known.share)
    return Range(
        *(
            first + tokens / speed
            for first, tokens, speed in zip(_FIRST_TOKEN_S, answer_tokens, _TOKENS_PER_S, strict=True)
        )
    )


def total(parts: Iterable[Range]) -> Range:
    """Return the range of all together."""
    together = NOTHING
    for part in parts:
        together = together.plus(part)
    return together
