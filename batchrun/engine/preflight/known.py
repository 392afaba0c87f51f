"""What earlier answers, a probe, or a tokenizer tell of the models that a job asks."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from types import MappingProxyType
from typing import NamedTuple

import orjson

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Answered, Checkpoint
from batchrun.endpoint.pool.budget import NOTHING_USED, Used
from batchrun.engine.preflight.estimate import Known
from batchrun.engine.preflight.outlook import known_of
from batchrun.engine.preflight.probe import Probed
from batchrun.engine.preflight.prompt_fit import PromptFit
from batchrun.engine.preflight.survey import Survey
from batchrun.engine.preflight.tokenizer import local_tokenizer
from batchrun.engine.preflight.tokens import count_request
from batchrun.job.sections import Job
from batchrun.records import ModelTotals, Parts
from batchrun.results.used import used_elsewhere, used_in

_LEARNED_ROWS = 1_000
"""Answers whose stated tokens are compared with what was estimated of their prompts."""


class Past(NamedTuple):
    """What the run directory knows of this job."""

    totals: Mapping[str, ModelTotals]
    answered: list[Answered]
    used: Used
    limits: Mapping[str, int] | None
    """Requests that each endpoint took at once, by its name; None unless that is known of each."""
    unsent: Mapping[str, float] = MappingProxyType({})
    """By model, about how many of its answers were copied, or taken from another run: they state no tokens."""

    @classmethod
    def of(cls, checkpoint: Checkpoint, job: Job) -> "Past":
        """Read it from a checkpoint; the job has the prices."""
        totals, parts = checkpoint.totals(), checkpoint.parts()
        used = used_in(checkpoint, job, parts).plus(used_elsewhere(job))
        unsent = _unsent(totals, parts, checkpoint.fact(facts.COPIES) or 0)
        return cls(totals, checkpoint.answered(_LEARNED_ROWS), used, _limits(checkpoint, job), unsent)


def _limits(checkpoint: Checkpoint, job: Job) -> dict[str, int] | None:
    if not job.has_several_endpoints:
        limit = checkpoint.fact(facts.LIMIT)
        return None if limit is None else dict.fromkeys(job.endpoints, limit)
    known = checkpoint.fact(facts.LIMITS) or {}
    return {name: known[name] for name in job.endpoints} if known.keys() >= job.endpoints.keys() else None


def _unsent(totals: Mapping[str, ModelTotals], parts: Parts, copies: int) -> dict[str, float]:
    """Return by model for how many rows nothing was sent; of copies only their number is known, not their models."""
    reused = dict.fromkeys(totals, 0)
    for source, sums in parts.items():
        reused[source.model] += sums.requests if source.run else 0
    others = {model: sums.requests - reused[model] for model, sums in totals.items()}
    share = copies / max(1, sum(others.values()))
    return {model: count + share * others[model] for model, count in reused.items()}


NO_PAST = Past({}, [], NOTHING_USED, None)


def survey_for(job: Job, past: Past) -> Survey:
    """Return an empty survey of the job's input."""
    return Survey(frozenset(each.key for each in past.answered), shares_answers=job.input.dedupe)


def learned(
    survey: Survey, past: Past, probes: Iterable[Probed], *, may_load: bool = True
) -> tuple[dict[str, Known], str]:
    """Return what is known of each model's answers, and how the tokens of its prompts were counted.

    A tokenizer may take half a second to load: not where somebody waits for the first request.
    """
    known = {model: known_of(model) for model in survey.models}
    probed = {each.model: each for each in probes if each.kind is None}
    counted_by = "characters"
    for model, each in known.items():
        answered = [every for every in past.answered if every.model == model]
        _learn_answers(each, past.totals.get(model), past.unsent.get(model, 0.0), answered)
        each.prompts = PromptFit.of(_answered_pairs(survey, past.answered, model))
        if each.prompts is not None:
            counted_by, each.prompts_are_shares = "answers", True
        elif may_load and (pairs := _tokenizer_pairs(model, survey.samples)):
            each.prompts, counted_by = PromptFit.of(pairs), "tokenizer"
        if model in probed:
            counted_by = _learn_probe(each, survey, probed[model]) or counted_by
    return known, counted_by


def _learn_answers(known: Known, sums: ModelTotals | None, unsent: float, answered: list[Answered]) -> None:
    paid = 0 if sums is None else round(sums.completed - sums.unstated - unsent)
    if sums is None or paid <= 0:
        return
    known.answers = paid
    known.answer_tokens = sums.completion_tokens / known.answers
    known.cached_share = sums.cached_tokens / sums.prompt_tokens if sums.prompt_tokens else 0.0
    latencies = [each.latency_s for each in answered if each.latency_s is not None]
    known.latency_s = fmean(latencies) if latencies else None


def _learn_probe(known: Known, survey: Survey, probed: Probed) -> str | None:
    """Learn from a probe what is not known yet; return how tokens are counted now, if it states them."""
    if known.answer_tokens is None and probed.completion_tokens is not None:
        known.answers, known.answer_tokens, known.latency_s = 1, probed.completion_tokens, probed.latency_s
    first = survey.models[probed.model].first
    if known.prompts is None and probed.prompt_tokens and first is not None:
        counted = count_request(orjson.loads(first.body), kind=first.kind)
        known.prompts = PromptFit.of([(counted.tokens, probed.prompt_tokens)])
        return "answers"
    return None


def _answered_pairs(survey: Survey, answered: Iterable[Answered], model: str) -> list[tuple[float, float]]:
    """Return what was estimated of answered prompts, without images, next to what the answers have stated."""
    return [
        (survey.key_tokens[each.key], each.prompt_tokens)
        for each in answered
        if each.model == model and each.prompt_tokens and each.key in survey.key_tokens
    ]


def _tokenizer_pairs(model: str, bodies: Iterable[bytes]) -> list[tuple[float, float]]:
    count = local_tokenizer(model)
    if count is None:
        return []
    return [(count_request(body).tokens, count_request(body, count).tokens) for body in map(orjson.loads, bodies)]
