"""Run directories with chosen answers, without an endpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from batchrun.checkpoint import facts
from batchrun.checkpoint.store import Store
from batchrun.job.file import load_job
from batchrun.job.sections import Job
from batchrun.job.serialization import job_to_dict
from batchrun.prompts.input.files import fingerprint
from batchrun.prompts.source import Source
from batchrun.records import BadRow, Outcome, Request, Usage
from harness.prompts import write_rows

HEAD = """
[input]
path = "in.jsonl"
[model]
names = ["m"]
[endpoint]
base_url = "http://127.0.0.1:1/v1"
[output]
dir = "out"
"""

TWO_ENDPOINTS = """
[input]
path = "in.jsonl"
[model]
names = ["m"]
[endpoints.east]
base_url = "http://127.0.0.1:1/v1"
[endpoints.east.prices."m"]
input_usd_per_mtok = 1.0
[endpoints.west]
base_url = "http://127.0.0.1:2/v1"
[endpoints.west.prices."m"]
input_usd_per_mtok = 2.0
[output]
dir = "out"
"""
"""A job with two endpoints, which have their own prices."""

Answer = Callable[[Request], str | dict[str, Any] | None]
"""Returns the answer to a request; a dict replaces fields of its outcome."""


def body_of(text: str | None, number: int = 0) -> bytes:
    """Return a chat completion with a text."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return orjson.dumps({**head, "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})


def failed(kind: str, status: int | None = None, *, error: str = "no", body: bytes | None = None) -> dict[str, Any]:
    """Return the fields of a failed outcome."""
    return {"kind": kind, "error": error, "http_status": status, "body": body}


def settle(
    rows: list[dict[str, Any]],
    answer: Answer,
    job: str = "",
    *,
    head: str = HEAD,
) -> Job:
    """Write an input and a job file, and a checkpoint with an outcome for each request; return the job.

    Args:
        rows: of the input.
        answer: returns the answer to each request, or fields of its outcome.
        job: sections of the job file in addition to `head`.
        head: the first sections of the job file.
    """
    write_rows("in.jsonl", *rows)
    Path("job.toml").write_text(head + job)
    made = load_job("job.toml")
    made.run_directory.mkdir(parents=True, exist_ok=True)
    with Source(made) as source, Store(made.run_directory) as store:
        source.open()
        store.set_fact(facts.JOB, job_to_dict(made))
        store.set_fact(facts.ORIGIN, {"job": "", "input": fingerprint(source.files), "limit": None})
        for number, entry in enumerate(each for batch in source.batches() for each in batch):
            store.model_id(entry.model)
            store.put(_outcome(entry, number, answer))
    return made


def _outcome(entry: Request | BadRow, number: int, answer: Answer) -> Outcome:
    if isinstance(entry, BadRow):
        answered: str | dict[str, Any] | None = failed("bad_row", error=entry.message) | {"attempts": 0}
    else:
        answered = answer(entry)
    changes = answered if isinstance(answered, dict) else {"body": body_of(answered, number)}
    row, model, sample, key, custom_id = entry.row, entry.model, entry.sample, entry.key, entry.custom_id
    usage = Usage(3, 2, 5, None, None) if isinstance(answered, str) else Usage()
    outcome = Outcome(row, model, sample, key, custom_id, None, None, 200, 1, 0.5, 1000 + row, None, usage)
    return outcome._replace(**changes)
