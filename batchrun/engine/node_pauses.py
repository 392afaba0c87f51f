"""What is recorded of an endpoint that each node has of its own: only when rows wait, since other nodes answer them."""

from batchrun.checkpoint.execution_log import ExecutionLog
from batchrun.engine.endpoint_figures import pause_of
from batchrun.engine.pools import AnyPool
from batchrun.records import Closed, Paused, Resumed


def note_node(event: Paused | Resumed | Closed, pool: AnyPool, history: ExecutionLog, at_ms: int) -> None:
    """Record what has happened to the endpoint of one node as far as it matters to the run: whether any is left.

    Args:
        event: what happened, with the node.
        pool: has heard of it already.
        history: where it is recorded.
        at_ms: Unix time.
    """
    if isinstance(event, Resumed):
        history.resumed(event.model, at_ms, event.endpoint)
    elif isinstance(event, Paused) and pause_of(pool) is not None:
        history.paused(event.model, event.kind, at_ms, event.message, event.endpoint)
