"""One batch: its state, what it has answered, and its object of the API. No I/O, no waiting."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from batchrun.simulator.batches.checks import Line

DONE = ("failed", "completed", "expired", "cancelled")
"""States that do not change any more."""

_TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
"""States whose beginning has a field of its own."""


@dataclass(slots=True)
class Batch:
    """One batch."""

    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: dict[str, str] | None
    created_s: float
    expires_s: float
    owner: str = ""
    """Account that it belongs to, as do its files."""
    id: str = field(default_factory=lambda: f"batch_{uuid4().hex}")
    status: str = "validating"
    model: str = ""
    lines: list[Line] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    output: list[bytes] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)
    tokens: int = 0
    """Of the prompts: they count against the limit of enqueued tokens until it has ended."""
    usage: dict[str, int] = field(default_factory=lambda: {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})
    completed: int = 0
    failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    times: dict[str, int] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether its state does not change any more."""
        return self.status in DONE

    def become(self, status: str, now_s: float) -> None:
        """Change the state."""
        self.status = status
        self.times[status] = int(now_s)

    def answered(self, line: bytes, usage: dict[str, Any] | None) -> None:
        """Take the line of a request that was answered (with its usage) or refused (None)."""
        if usage is None:
            self.errors.append(line)
            self.failed += 1
            return
        self.output.append(line)
        self.completed += 1
        self.usage["input_tokens"] += usage["prompt_tokens"]
        self.usage["output_tokens"] += usage["completion_tokens"]
        self.usage["total_tokens"] += usage["prompt_tokens"] + usage["completion_tokens"]

    @property
    def entry(self) -> dict[str, Any]:
        """The batch object of the API."""
        errors = {"object": "list", "data": self.problems} if self.problems else None
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model or None,
            "errors": errors,
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": int(self.created_s),
            "expires_at": int(self.expires_s),
            **{f"{status}_at": self.times.get(status) for status in _TIMES},
            "request_counts": {"total": len(self.lines), "completed": self.completed, "failed": self.failed},
            "usage": self.usage | {"input_tokens_details": {"cached_tokens": 0}},
            "metadata": self.metadata,
        }

    @property
    def together_entry(self) -> dict[str, Any]:
        """The same in the form of Together. Source: its reference, "Create a batch job"."""
        reasons = [each["message"] for each in self.problems]
        return {
            "id": self.id,
            "input_file_id": self.input_file_id,
            "status": self.status.upper(),
            "job_deadline": _iso(self.expires_s),
            "created_at": _iso(self.created_s),
            "endpoint": self.endpoint,
            "progress": 100 * (self.completed + self.failed) // max(1, len(self.lines)),
            "model_id": self.model,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "error": "; ".join(reasons),
        }


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()
