"""When ordinary requests take the place of batches."""

import time

from batchrun.checkpoint import facts
from batchrun.checkpoint.store import Store
from batchrun.engine.deadline import next_time_s


def rest_at_s(rest_by: str | None, store: Store) -> float | None:
    """Return when ordinary requests take over, as a Unix time: the first such time since the run began.

    Args:
        rest_by: the setting.
        store: where that time is noted, for later executions.
    """
    if rest_by is None:
        return None
    noted = store.fact(facts.REST_AT)
    if noted is None or noted[0] != rest_by:
        noted = [rest_by, next_time_s(rest_by, time.time())]
        store.set_fact(facts.REST_AT, noted)
    return float(noted[1])
