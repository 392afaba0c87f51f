"""What is shown of the endpoints of a run that sends: each of several, and whether the rows of a model wait.

And of its workers, where it has any.
"""

from collections.abc import Iterable

from batchrun.engine.cluster.driver import Driver
from batchrun.engine.cluster.routes import SharedRoute, label_of
from batchrun.engine.pools import AnyPool, AnySender
from batchrun.records import EndpointFigures, LaneState, WorkerFigures


def endpoint_figures(pool: AnyPool) -> tuple[EndpointFigures, ...]:
    """Return the figures of each endpoint; nothing where there is one without a name."""
    return tuple(_figures(sender) for sender in pool.routes if _label(sender))


def worker_figures(pool: AnyPool) -> tuple[WorkerFigures, ...]:
    """Return the figures of each worker of a cluster; nothing where this process sends."""
    return pool.workers if isinstance(pool, Driver) else ()


def pause_of(pool: AnyPool) -> str | None:
    """Return why rows wait; None while every model has an endpoint that is sent requests.

    Where there are several endpoints, one of them that is away lets no rows wait: the others send them.
    """
    if len(pool.routes) == 1:
        return pool.trouble
    left = [sender for sender in pool.routes if not _is_closed(sender)]
    is_waiting = _has_paused_model(_open_lanes(left)) or all(sender.trouble is not None for sender in left)
    return pool.trouble if is_waiting else None


def slots_of(pool: AnyPool) -> int:
    """Return how many requests may be in flight now; where an endpoint is closed, what is still in flight there."""
    return sum(sender.in_flight if _is_closed(sender) else sender.limit.current for sender in pool.routes)


def probe_in_s(pool: AnyPool) -> float | None:
    """Return in how many seconds rows that wait may be sent again; None where none waits for an endpoint."""
    return pool.probe_in_s if len(pool.routes) == 1 or pause_of(pool) is not None else None


def _figures(sender: AnySender) -> EndpointFigures:
    state, reason = "open", sender.trouble or ""
    if _is_closed(sender):
        state, reason = "closed", next((stop.message for stop in sender.closed.values()), "")
    elif sender.is_away and reason:
        state = "away"
    return EndpointFigures(_label(sender), sender.in_flight, sender.limit.current, sender.throttled, state, reason)


def _label(sender: AnySender) -> str:
    return label_of(sender) if isinstance(sender, SharedRoute) else sender.name


def _is_closed(sender: AnySender) -> bool:
    """Return whether nothing more is sent to any model of an endpoint."""
    return bool(sender.lanes) and not _open_lanes([sender])


def _open_lanes(senders: Iterable[AnySender]) -> list[LaneState]:
    return [lane for sender in senders for lane in sender.lanes if not lane.is_closed]


def _has_paused_model(lanes: Iterable[LaneState]) -> bool:
    """Return whether a model is paused in all of its lanes."""
    paused: dict[str, bool] = {}
    for lane in lanes:
        paused[lane.model] = paused.get(lane.model, True) and lane.is_paused
    return any(paused.values())
