"""The kinds of requests, how a batch line names one, and which jobs can ask it. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from batchrun.job.sections import Job
from batchrun.prompts.kinds import chat, completions, embeddings, rerank, responses, score
from batchrun.prompts.kinds.shape import Shape
from batchrun.records import PATHS, RequestKind

SHAPES: Mapping[RequestKind, Shape] = {
    "chat": chat.SHAPE,
    "completions": completions.SHAPE,
    "responses": responses.SHAPE,
    "embeddings": embeddings.SHAPE,
    "rerank": rerank.SHAPE,
    "score": score.SHAPE,
}


@lru_cache
def kind_of_url(url: str) -> RequestKind | None:
    """Return the kind that the `url` of a batch line names; None when it is not a kind that can be run."""
    path = url.rstrip("/")
    return next((kind for kind in SHAPES if path.endswith(PATHS[kind])), None)


def unfit(job: Job, kind: RequestKind) -> str | None:
    """Return why a job cannot ask requests of a kind; None when it can."""
    shape = SHAPES[kind]
    if not shape.has_messages:
        if job.response.schema is not None:
            return f"response.schema is set; requests of the kind {kind} take no schema"
        set_here = [name for name, value in _of_messages(job).items() if value]
        if set_here and kind == job.model.kind:
            cure = "put all of the text into prompt.user" if len(shape.asked) == 1 else "the rows bring it"
            return f"{set_here[0]} is set; requests of the kind {kind} have no messages: {cure}"
    if kind != job.model.kind:
        return None  # the settings are meant for the job's own kind
    if (problem := _unfit_for_bundles(job, shape)) is not None:
        return problem
    if stray := [name for name in job.model.parameters() if name in chat.SETTINGS - shape.settings]:
        return f"model.{stray[0]} is set; requests of the kind {kind} do not take it"
    if job.model.stream is True and not shape.stream:
        return f"model.stream is set; answers of the kind {kind} cannot be streamed"
    return None if shape.has_text else _needs_text(job, kind)


def _unfit_for_bundles(job: Job, shape: Shape) -> str | None:
    """Return why requests of the job's kind cannot travel together as it states; None when they can."""
    model = job.model
    if model.rows_per_request > 1 and not shape.takes_list:
        several = " or ".join(f'"{kind}"' for kind, each in SHAPES.items() if each.takes_list)
        rule = f"requests of the kind {model.kind} have one row each"
        return f"model.rows_per_request is set; {rule}; where the rows are of another kind, set model.kind = {several}"
    if model.samples_per_request == 1:
        return None
    if not shape.takes_n:
        return f"model.samples_per_request is set; requests of the kind {model.kind} have no n"
    if model.stream:
        return "model.samples_per_request is set; streams have one answer each: set model.stream = false"
    if model.seed is not None:
        return "model.samples_per_request and model.seed are both set; with a seed each sample is a request of its own"
    return None


def _of_messages(job: Job) -> dict[str, Any]:
    """Return the settings that only make sense with messages."""
    prompt = job.prompt
    names = ("system", "messages", "examples", "images", "files")
    return {f"prompt.{name}": getattr(prompt, name) for name in names}


def _needs_text(job: Job, kind: RequestKind) -> str | None:
    """Return which setting needs answers that are texts; None when none does."""
    if job.model.num_samples > 1:
        return f"model.num_samples = {job.model.num_samples}; an answer of the kind {kind} is always the same one"
    wanting = {"judge.model": job.judge.model, "evaluate": job.evaluate.scored()}
    stated = next((name for name, value in wanting.items() if value), None)
    return None if stated is None else f"{stated} is set; answers of the kind {kind} have no text to score"
