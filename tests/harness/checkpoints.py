"""Requests, their outcomes, and checkpoints with these outcomes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.records import Outcome, OutcomeColumns, Request, Usage


def key_of(prompt: str) -> bytes:
    """Return a readable request key."""
    return prompt.encode().ljust(16, b".")[:16]


def requests(*prompts: str, model: str = "m", first: int = 0) -> list[Request]:
    """Return one request per prompt, in consecutive rows."""
    return [Request(first + row, model, 0, key_of(prompt), b"", f"id-{prompt}") for row, prompt in enumerate(prompts)]


def answer(request: Request, **changes: Any) -> Outcome:
    """Return a completed outcome with 3 tokens in and 2 tokens out."""
    row, model, sample, key, _, custom_id, *_ = request
    body = b"answer to " + key
    usage = Usage(3, 2, 5, 1, 0)
    return Outcome(row, model, sample, key, custom_id, None, None, 200, 1, 0.5, 1000 + row, body, usage)._replace(
        **changes
    )


def failure(request: Request, kind: str = "bad_request") -> Outcome:
    """Return a failed outcome."""
    return answer(request, kind=kind, error="no", http_status=400, body=None, usage=Usage())


def settle(directory: Path, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes into a checkpoint."""
    with Store(directory) as store:
        for outcome in outcomes:
            store.model_id(outcome.model)
            store.put(outcome)


def outcomes_in(directory: Path) -> list[Outcome]:
    """Return all outcomes of a checkpoint."""
    with Checkpoint(directory) as checkpoint:
        return [outcome for some in checkpoint.outcomes() for outcome in some]


def columns_of(outcomes: Sequence[Outcome]) -> OutcomeColumns:
    """Turn outcomes into columns."""
    columns = {name: [getattr(each, name) for each in outcomes] for name in Outcome._fields if name != "usage"}
    columns["run"] = [""] * len(outcomes)
    return columns | {name: [getattr(each.usage, name) for each in outcomes] for name in Usage._fields}


def answers_in(directory: Path) -> dict[int, bytes]:
    """Return the answered requests: row → key of the request."""
    return {outcome.row: outcome.key.rstrip(b".") for outcome in outcomes_in(directory)}
