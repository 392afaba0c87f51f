"""What is recorded of an endpoint that each node has of its own: only when rows wait, since other nodes answer them."""

from batchrun.checkpoint.execution_log import ExecutionLog
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.endpoint_figures import pause_of
from batchrun.engine.pools import AnyPool
from batchrun.records import Closed, Paused, Resumed


def is_of_several_nodes(pool: AnyPool) -> bool:
    """Return whether several nodes have endpoints of their own: then none of these is an endpoint of the job."""
    return isinstance(pool, Driver) and pool.endpoints.are_of_several_nodes


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


def end_pauses(pool: AnyPool, history: ExecutionLog, at_ms: int) -> None:
    """Record that rows wait no longer because a node has joined: the others, which are still away, do not report it.

    Args:
        pool: is asked.
        history: where it is recorded.
        at_ms: Unix time.
    """
    if not is_of_several_nodes(pool) or pool.stopping is not None:
        return
    if history.paused_models and pause_of(pool) is None:
        for model, endpoint in history.paused_models:
            if model not in pool.closed:  # then its pause ends with the execution, or did when it was closed
                history.resumed(model, at_ms, endpoint)
