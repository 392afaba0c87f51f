"""Requests, their outcomes, and checkpoints with these outcomes."""

import sqlite3
import struct
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson

from batchrun.answers.shared_vectors import SharedBodies, shared_answer
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME
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


def vectors_reply(count: int, numbers: int = 3, **more: Any) -> bytes:
    """Return an endpoint's answer to a bundle of embeddings; no two vectors are the same."""
    vectors = [b64encode(struct.pack(f"<{numbers}f", *range(row, row + numbers))).decode() for row in range(count)]
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(vectors)]
    usage = {"prompt_tokens": 3 * count, "total_tokens": 3 * count}
    return orjson.dumps({"object": "list", "data": data, "model": "m", "usage": usage} | more)


def sharing(asked: Sequence[Request], numbers: int = 3) -> list[Outcome]:
    """Return the outcomes of a bundle, which share one reply; each has 3 tokens in and none out."""
    found = shared_answer(vectors_reply(len(asked), numbers), len(asked))
    assert found is not None
    usage = Usage(3, 0, 3)
    return [answer(each, body=None, usage=usage, reply=found.reply, place=place) for place, each in enumerate(asked)]


def alone(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return outcomes that share replies as they are read: each with the answer that it would have got alone."""
    return [
        each._replace(body=SharedBodies([each.reply], [each.place], usage_columns([each]))[0], reply=None, place=0)
        if each.reply is not None
        else each
        for each in outcomes
    ]


def usage_columns(outcomes: Sequence[Outcome]) -> OutcomeColumns:
    """Return the token counts of outcomes as columns."""
    return {name: [getattr(each.usage, name) for each in outcomes] for name in Usage._fields}


def failure(request: Request, kind: str = "bad_request") -> Outcome:
    """Return a failed outcome."""
    return answer(request, kind=kind, error="no", http_status=400, body=None, usage=Usage())


def settle(directory: Path, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes into a checkpoint."""
    with Store(directory) as store:
        for outcome in outcomes:
            store.model_id(outcome.model)
            store.put(outcome)


@contextmanager
def log_kept(directory: Path) -> Iterator[None]:
    """Have a new checkpoint keep what is written meanwhile in its log, as a killed run leaves it."""
    directory.mkdir(parents=True, exist_ok=True)
    with Store(directory):
        pass
    with closing(sqlite3.connect(directory / FILE_NAME)) as other:
        other.execute("SELECT count(*) FROM outcomes").fetchall()
        yield


def outcomes_in(directory: Path) -> list[Outcome]:
    """Return all outcomes of a checkpoint."""
    with Checkpoint(directory) as checkpoint:
        return [outcome for some in checkpoint.outcomes() for outcome in some]


def columns_of(outcomes: Sequence[Outcome]) -> OutcomeColumns:
    """Turn outcomes into columns."""
    own = [name for name in Outcome._fields if name not in ("usage", "reply", "place")]
    columns = {name: [getattr(each, name) for each in outcomes] for name in own}
    columns["run"] = [""] * len(outcomes)
    return columns | usage_columns(outcomes)


def answers_in(directory: Path) -> dict[int, bytes]:
    """Return the answered requests: row → key of the request."""
    return {outcome.row: outcome.key.rstrip(b".") for outcome in outcomes_in(directory)}
