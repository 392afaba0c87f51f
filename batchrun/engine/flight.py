"""What a run that stops waits for, and how long at most, for people."""

from batchrun.endpoint.http.client import STREAM_TIMES
from batchrun.engine.batches.overview import Overview
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.pools import AnyPool
from batchrun.job.limits import Limits
from batchrun.job.sections import Job
from batchrun.report.texts import counted, duration_text


def flight_text(job: Job, pool: AnyPool) -> str:
    """Return what a run that stops still waits for, and how long at most."""
    if isinstance(pool, Overview) and pool.left_text:
        return pool.left_text
    most = pool.most_in_flight if isinstance(pool, Driver) else pool.in_flight
    if not most:
        return "nothing is in flight"
    most_s, up_to = duration_text(flight_s(job, pool)), "up to " if most > pool.in_flight else ""
    return f"waiting for {up_to}{counted(most, 'answer')} in flight, for at most {most_s}"


def flight_s(job: Job, pool: AnyPool) -> float:
    """Return how long a run that stops waits at most for what is in flight."""
    is_stream = bool(job.model.stream)
    timeout_s = job.limits.timeout_s * (STREAM_TIMES if is_stream else 1)
    return pool.drain_s(timeout_s, is_stream=is_stream)


def patience_note(limits: Limits) -> str | None:
    """Return what limits the patience that the user has given; None when nothing does."""
    if limits.patience_s is None or limits.patience_s >= limits.timeout_s:
        return None
    noticed = f"is noticed when its requests time out, after {duration_text(limits.timeout_s)} (--timeout-s)"
    patience = duration_text(limits.patience_s)
    return f"note: an endpoint that says nothing {noticed}, not after the patience of {patience}"
