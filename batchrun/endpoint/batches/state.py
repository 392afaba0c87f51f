"""A batch as the provider reports it. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from batchrun.records import Reply

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""States that do not change any more. Source: OpenAI's reference, `status` of a batch."""

RUN, NUMBER = "batchrun_run", "batchrun_batch"
"""Names in the metadata of a batch: which run and which of its batches it is."""

_TOKEN_LIMIT = re.compile(r"token_limit_exceeded|enqueued[ _]token|number of enqueued tokens", re.IGNORECASE)
"""Codes and words of OpenAI and Azure for a full queue."""

_TOKEN_LIMIT_OF_MODEL = re.compile(r"enqueued token limit reached for \S", re.IGNORECASE)
"""Words of OpenAI, whose queues are of one model each."""

_TOO_LARGE = re.compile(r"too_many_tasks|too many (requests|tasks|lines)|too_large|file is too large", re.IGNORECASE)
"""Codes and words for a batch with too many requests or bytes."""

_LEAST_POLL_S, _MOST_POLL_S, _POLL_SHARE = 0.5, 60.0, 1 / 20
"""Time between two looks at a batch, as a share of its age: one that takes minutes is seen to end in seconds; one that
takes a day is asked for once a minute."""


class Problem(NamedTuple):
    """Why a provider did not take a batch."""

    code: str
    message: str
    line: int | None
    """Line of the file, from 1; None where it is of the whole batch."""


class BatchState(NamedTuple):
    """What the provider reports of a batch."""

    id: str
    status: str
    output_file: str | None
    error_file: str | None
    total: int
    completed: int
    failed: int
    created_s: float
    """Unix time; 0 where it is not stated."""
    expires_s: float | None
    """Unix time."""
    problems: tuple[Problem, ...]
    metadata: Mapping[str, str]
    input_file: str

    @property
    def is_ended(self) -> bool:
        """Whether its state does not change any more."""
        return self.status in ENDED

    @property
    def is_queue_full(self) -> bool:
        """Whether it was not taken because too many tokens are enqueued."""
        return any(_TOKEN_LIMIT.search(f"{each.code} {each.message}") for each in self.problems)

    @property
    def is_queue_of_model(self) -> bool:
        """Whether the queue that is full is that of its model alone, as far as the provider says it."""
        return any(_TOKEN_LIMIT_OF_MODEL.search(each.message) for each in self.problems)

    @property
    def is_too_large(self) -> bool:
        """Whether it was not taken because it has too many requests or bytes."""
        return any(each.line is None and _TOO_LARGE.search(f"{each.code} {each.message}") for each in self.problems)


def read_state(entry: Any) -> BatchState | None:
    """Return the state of a batch object; None where it is not one.

    Together's stands in `job` when it is created; its states are in capitals, its times and problems are texts.
    """
    if isinstance(entry, dict) and isinstance(entry.get("job"), dict):
        entry = entry["job"]
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return None
    counts = entry.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    metadata = entry.get("metadata")
    return BatchState(
        entry["id"],
        str(entry.get("status", "")).lower(),
        entry.get("output_file_id") or None,
        entry.get("error_file_id") or None,
        _count(counts.get("total")),
        _count(counts.get("completed")),
        _count(counts.get("failed")),
        _time_s(entry.get("created_at")),
        _time_s(entry.get("expires_at") or entry.get("job_deadline")) or None,
        tuple(_problems(entry.get("errors") or entry.get("error"))),
        {key: str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {},
        str(entry.get("input_file_id") or ""),
    )


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _time_s(value: Any) -> float:
    """Return a Unix time, which may be a text by ISO 8601; 0 where there is none."""
    if not isinstance(value, str):
        return float(_count(value))
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return 0.0


def _problems(errors: Any) -> list[Problem]:
    listed = errors.get("data") if isinstance(errors, dict) else errors
    found = []
    for each in listed if isinstance(listed, list) else [listed] if listed else []:
        entry = each if isinstance(each, dict) else {"message": str(each)}
        line = _count(entry.get("line")) or None
        found.append(Problem(str(entry.get("code") or ""), str(entry.get("message") or ""), line))
    return found


def problem_reply(problem: Problem) -> Reply:
    """Return a problem as the reply to a single request would have stated it."""
    return Reply(400, {}, orjson.dumps({"error": {"code": problem.code or None, "message": problem.message}}), 0.0)


def poll_s(age_s: float) -> float:
    """Return how long to wait until the next look at a batch of this age."""
    return min(max(_LEAST_POLL_S, _POLL_SHARE * age_s), _MOST_POLL_S)
