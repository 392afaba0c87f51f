"""Sends one real request to each model before a job is sent, and returns the results."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import orjson

from batchrun.answers.envelope import parse_completion
from batchrun.endpoint.access import access_for
from batchrun.endpoint.advice import cure_for, place_of, without_successor
from batchrun.endpoint.diagnosis import finding
from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.endpoint.renaming import as_asked_of, renamed
from batchrun.engine.access import Access, access_to
from batchrun.engine.preflight.survey import Survey
from batchrun.errors import BatchrunError
from batchrun.job.catalogue import PriceLike, cost_usd, price_of
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Job
from batchrun.prompts.kinds.table import SHAPES
from batchrun.records import Reply, Request, Usage

_ROW_FAILED = 1
"""Exit code when only this request is at fault: that of a run with failed rows."""


class Probed(NamedTuple):
    """The result of one real request to a model."""

    model: str
    row: int
    """Number of the row whose prompt was sent."""
    kind: str | None
    """Verdict; None when it was answered."""
    message: str
    """Reason and cure; empty when it was answered."""
    exit_code: int
    """Exit code of a run with this result; 0 when it was answered."""
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float
    usd: float | None
    """None when no price or no usage is known."""
    response: str | None
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one."""
    gives_samples: bool | None = None
    """Whether one request with `n` = 2 got two answers there, of one token each, whose cost is in `usd`. None where the
    job does not ask for several samples, or they could not travel together anyway."""
    samples_problem: str = ""
    """Why it was refused; empty where it was not."""


class Target(NamedTuple):
    """One request to one endpoint."""

    name: str
    """Of the endpoint; empty where the job has one."""
    endpoint: Endpoint
    access: Access
    request: Request

    @property
    def body(self) -> bytes:
        """What is sent: the model has the name that it has there."""
        model = self.request.model
        return renamed(self.request.body, model, (self.endpoint.models or {}).get(model, model))


async def probe(job: Job, targets: Iterable[Target]) -> list[Probed]:
    """Send requests one after the other, each once; return the results."""
    return [await _sent(job, target) for target in targets]


async def _sent(job: Job, target: Target) -> Probed:
    name, endpoint, access, request = target
    async with access.client(job.limits, connections=1) as client:
        result = await client.send(target.body, request.kind)
        verdict = judge(result, request.kind)
        samples = await _asked_twice(target, client) if verdict.kind is None and _may_share(job, request) else None
    effect = None if verdict.kind is None else EFFECTS[verdict.kind]
    message, exit_code = "", 0
    if effect is not None and verdict.kind is not None:
        is_real = access.base_url == endpoint.base_url
        unknown = without_successor([request.model], endpoint)
        found = await finding(verdict.kind, access, unknown) if is_real else ""
        cure = found or cure_for(verdict.kind, endpoint, has_key=access.has_key, model=request.model)
        message = f"{verdict.message.rstrip('.')}; {cure}" if cure else verdict.message
        exit_code = effect.run.exit_code or _ROW_FAILED
    return Probed(
        model=request.model,
        row=request.row,
        kind=verdict.kind,
        message=message,
        exit_code=exit_code,
        prompt_tokens=verdict.usage.prompt_tokens,
        completion_tokens=verdict.usage.completion_tokens,
        latency_s=result.latency_s,
        usd=_total_usd(verdict.usage, samples, price_of(endpoint, request.model, job.prices)),
        response=parse_completion(result.body).response if isinstance(result, Reply) and effect is None else None,
        endpoint=name,
        gives_samples=samples and samples.are_given,
        samples_problem="" if samples is None else samples.problem,
    )


class _Samples(NamedTuple):
    are_given: bool
    problem: str
    usage: Usage


def _total_usd(usage: Usage, samples: _Samples | None, price: PriceLike | None) -> float | None:
    """Return the cost of both requests; of the first where the second states no tokens."""
    usd, more_usd = cost_usd(usage, price), None if samples is None else cost_usd(samples.usage, price)
    return usd if usd is None or more_usd is None else usd + more_usd


def _may_share(job: Job, request: Request) -> bool:
    """Return whether samples of a row may travel together, as far as the job is concerned."""
    model = job.model
    return model.num_samples > 1 and SHAPES[request.kind].takes_n and not model.stream and model.seed is None


async def _asked_twice(target: Target, client: HttpClient) -> _Samples:
    """Ask for two samples of the shortest answer at once: one that does not know `n` refuses, or gives one."""
    request = target.request
    body = orjson.dumps({"model": request.model, **SHAPES[request.kind].canary, "n": 2})
    result = await client.send(target._replace(request=request._replace(body=body)).body, request.kind)
    verdict = judge(result, request.kind)
    choices = (verdict.answer or {}).get("choices")
    return _Samples(isinstance(choices, list) and len(choices) == 2, verdict.message, verdict.usage)


def endpoint_notes(job: Job, *, simulate: bool) -> list[str]:
    """Return where the base URL is from, if not from the job, and the problem of each key, if there is one."""
    if simulate:
        return []
    place = place_of(job.endpoint)
    notes = [] if job.has_several_endpoints or place == job.endpoint.base_url else [f"the endpoint is {place}"]
    for endpoint in job.endpoints.values():
        try:
            access_for(endpoint)
        except BatchrunError as problem:
            notes.append(str(problem))
    return notes


def _to_fallbacks(job: Job, requests: Sequence[Request]) -> list[Request]:
    """Return a request to each fallback that none of these is sent to."""
    found: dict[str, Request] = {}
    for request in requests:
        other = job.fallbacks.get(request.model)
        if other is not None and other not in (each.model for each in requests):
            found.setdefault(other, as_asked_of(request, other))
    return list(found.values())


def probe_sender(job: Job, *, simulate: bool) -> Callable[[Survey], list[Probed]]:
    """Return a function that sends the first request to each model, wherever it is served; keys are looked for now."""
    if not simulate:
        for endpoint in job.endpoints.values():
            access_for(endpoint)

    async def sent(survey: Survey) -> list[Probed]:
        requests = [part.first for part in survey.models.values() if part.first is not None]
        requests = [*requests, *_to_fallbacks(job, requests)]
        async with access_to(job.endpoints, simulate=simulate) as access:
            return await probe(
                job,
                [
                    Target(name, job.endpoints[name], access[name], request)
                    for request in requests
                    for name in job.serving(request.model)
                ],
            )

    return lambda survey: asyncio.run(sent(survey))
