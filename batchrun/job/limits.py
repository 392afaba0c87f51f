"""`[limits]`: how much a run may use, and how long it waits."""

from dataclasses import InitVar, dataclass

from batchrun.job.field_types import OptionalSeconds
from batchrun.job.settings import Section, alias, clock_time, duration_s, number, setting, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Section):
    """`[limits]`: ceilings that the run never exceeds, and how long it waits."""

    max_concurrency: int = setting(
        1000, "most requests in flight; the run finds the endpoint's own limit below this", whole(1)
    )
    requests_per_minute: int | None = setting(None, "most requests per minute", whole(1))
    tokens_per_minute: int | None = setting(None, "most tokens per minute, sent and received", whole(1))
    max_attempts: int = setting(5, "most attempts for a row that fails while others succeed", whole(1))
    timeout_s: float = setting(
        600.0, "longest time for an attempt, in seconds; for a stream, from one piece to the next", number(above=0)
    )
    connect_timeout_s: float = setting(10.0, "longest time to open a connection, in seconds", number(above=0))
    max_cost_usd: float | None = setting(None, "most USD that the job may cost, over all executions", number(above=0))
    max_tokens_total: int | None = setting(
        None, "most tokens that the job may use, sent and received, over all executions", whole(1)
    )
    stop_at: str | None = setting(None, "time of day (HH:MM) at which to drain and stop", clock_time)
    rest_by: str | None = setting(
        None, "time of day (HH:MM) at which what no batch has answered is sent as ordinary requests", clock_time
    )
    max_duration_s: OptionalSeconds = setting(
        None, "time of sending after which to drain and stop, such as 8h", duration_s, key="max_duration"
    )
    patience_s: OptionalSeconds = setting(
        None, "longest outage to wait for", duration_s, key="patience", shown="12h; 1m while nothing has ever answered"
    )
    max_duration: InitVar[float | str | None] = alias("max_duration_s")
    patience: InitVar[float | str | None] = alias("patience_s")
