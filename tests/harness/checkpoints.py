"""Requests, their outcomes, and checkpoints made of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.records import Outcome, OutcomeColumns, Request, Usage


def key_of(prompt: str) -> bytes:
    """Return a request key that can be read."""
    return prompt.encode().ljust(16, b".")[:16]


def requests(*prompts: str, model: str = "m", first: int = 0) -> list[Request]:
    """One request a prompt, in rows that follow one another."""
    return [Request(first + row, model, 0, key_of(prompt), b"", f"id-{prompt}") for row, prompt in enumerate(prompts)]


def answer(request: Request, **changes: Any) -> Outcome:
    """How a request was answered: 3 tokens in, 2 out."""
    row, model, sample, key, _, custom_id = request
    body = b"answer to " + key
    usage = Usage(3, 2, 5, 1, 0)
    return Outcome(row, model, sample, key, custom_id, None, None, 200, 1, 0.5, 1000 + row, body, usage)._replace(
        **changes
    )


def failure(request: Request, kind: str = "bad_request") -> Outcome:
    """How a request failed."""
    return answer(request, kind=kind, error="no", http_status=400, body=None, usage=Usage())


def settle(directory: Path, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes as a run would."""
    with Store(directory) as store:
        for outcome in outcomes:
            store.model_id(outcome.model)
            store.put(outcome)


def outcomes_in(directory: Path) -> list[Outcome]:
    """Read all outcomes back."""
    with Checkpoint(directory) as checkpoint:
        return [outcome for some in checkpoint.outcomes() for outcome in some]


def columns_of(outcomes: Sequence[Outcome]) -> OutcomeColumns:
    """Turn outcomes into columns."""
    columns = {name: [getattr(each, name) for each in outcomes] for name in Outcome._fields if name != "usage"}
    return columns | {name: [getattr(each.usage, name) for each in outcomes] for name in Usage._fields}


def answers_in(directory: Path) -> dict[int, bytes]:
    """Row → key of the request that its outcome answers."""
    return {outcome.row: outcome.key.rstrip(b".") for outcome in outcomes_in(directory)}
