"""Which endpoint is asked for which model, and which settings of endpoints have no effect: often a name with a typo."""

import difflib
from collections.abc import Iterable

from batchrun.job.judging import is_judge
from batchrun.job.sections import Job
from batchrun.job.serving import plain_name

_BOUNDS = ("max_concurrency", "requests_per_minute", "tokens_per_minute")
"""Settings of an endpoint that `[limits]` has for all endpoints together."""


def served_by(job: Job, models: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return for each model, and each fallback, the endpoints that are asked for it, with its name there.

    Empty where the job has one endpoint, without a name.

    Args:
        job: whose endpoints are asked.
        models: that rows ask for.
    """
    if not job.has_several_endpoints:
        return {}
    return {model: job.serving(model) for model in dict.fromkeys((*models, *job.fallbacks.values()))}


def idle_notes(job: Job) -> list[str]:
    """Return a note for each setting of endpoints that another one keeps from having an effect.

    Those are endpoints of the job file in whose place a flag has put others, and limits above those of all together.
    """
    notes = []
    if job.replaced_endpoints:
        names = ", ".join(job.replaced_endpoints)
        notes.append(f"--base-url takes the place of the endpoints of the job file ({names}) and of all their settings")
    for name, endpoint in job.endpoints.items():
        for key in _BOUNDS:
            own, most = getattr(endpoint, key), getattr(job.limits, key)
            if own is not None and most is not None and own > most:
                section = f"endpoints.{name}" if name else "endpoint"
                notes.append(f"{section}.{key} = {own} has no effect: limits.{key} = {most} holds for all together")
    return notes


def unasked_notes(job: Job, models: Iterable[str]) -> list[str]:
    """Return a note for each model of an endpoint that no row, no fallback and no judge asks for.

    Args:
        job: that is run.
        models: all models that rows ask for.
    """
    if is_judge(job):  # its endpoints are those of the answers
        return []
    judge = [plain_name(job.judge.model, job.endpoints)] if job.judge.model else []
    asked = {*models, *job.asked_models, *judge}
    notes = []
    for name, endpoint in job.endpoints.items():
        section = f"endpoints.{name}" if name else "endpoint"
        for model in endpoint.models or ():
            if model not in asked:
                close = difflib.get_close_matches(model, sorted(asked), n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                notes.append(f'{section}.models: no row and no setting asks for "{model}"{hint}')
    return notes
