"""Makes the outcome of a request. Pure."""

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.records import Fault, Outcome, Reply

_KEPT_OF_FAILURE_BYTES = 1 << 20
"""How much of an error's body is kept."""

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of outcomes."""


def outcome_of(work: Work, result: Reply | Fault, verdict: Verdict, finished_at_ms: int, endpoint: str) -> Outcome:
    """Return how a request ended: by its last result, the verdict on it, and the name of the endpoint that gave it."""
    row, model, sample, key, _, custom_id, _, _ = work.request
    status, body = (result.status, result.body) if isinstance(result, Reply) else (None, None)
    return _new(
        Outcome,
        (
            row,
            model,
            sample,
            key,
            custom_id,
            verdict.kind,
            verdict.message or None,
            status,
            work.attempts,
            result.latency_s,
            finished_at_ms,
            body,
            verdict.usage,
            work.throttled,
            endpoint,
            "",
            None,
            0,
        ),
    )


def kept(result: Reply | Fault) -> Reply | Fault:
    """Return an error with as much of its body as is kept."""
    if isinstance(result, Fault) or len(result.body) <= _KEPT_OF_FAILURE_BYTES:
        return result
    return result._replace(body=result.body[:_KEPT_OF_FAILURE_BYTES])
