"""What happened to a run: its executions, the pauses in them, and the time between them, for a table and the plots."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from batchrun.checkpoint.history import CLOSED
from batchrun.report.clock import Clock, Gap, Span, gaps_between
from batchrun.report.svg import Band
from batchrun.report.texts import duration_text
from batchrun.results.executions import ended_text, pause_reason, pause_word, spent_by

_MOST_EVENTS = 200
"""Most lines of the table; a run that cron resumes every minute has more."""

_ADVICE = "; run the same command again to resume"

Look = Literal["execution", "pause", "closed", "gap"]


class Event(NamedTuple):
    """One line of the table, and for a pause or a gap a band in the plots."""

    number: int
    look: Look
    what: str
    start_ms: float
    """Unix time, like `end_ms`."""
    end_ms: float
    lasts: bool
    """Whether it has not ended."""
    why: str
    rows: int | None = None
    """Settled by an execution; None where this is not recorded, as for the cost."""
    cost: str = ""
    endpoint: str = ""
    """Name of the endpoint of several that was away or closed; empty where the whole run was paused."""


class EventLine(NamedTuple):
    """An event as texts."""

    number: int
    look: Look
    what: str
    start: str
    end: str
    lasted: str
    rows: str
    cost: str
    why: str


def events_of(executions: Sequence[Mapping[str, Any]], *, is_of_several: bool = False) -> list[Event]:
    """Return what happened, in order.

    Args:
        executions: entries of run.json, oldest first.
        is_of_several: whether the run has several models.
    """
    found: list[Event] = []
    for number, entry in enumerate(executions, start=1):
        start_ms, end_ms = _span(entry)
        found.append(
            Event(
                *(0, "execution", f"execution {number:,}", start_ms, end_ms),
                lasts=entry["state"] == "running",
                why=_ending(entry),
                rows=entry["rows"],
                cost=spent_by(entry) or "",
            )
        )
        found += _pauses(entry, entry["pauses"], names_models=is_of_several)
        for some in _by_word(entry["endpoint_pauses"]):
            found += _pauses(entry, some, names_models=is_of_several)
    for gap in gaps_of(executions):
        found.append(Event(0, "gap", "no process", gap.start_ms, gap.end_ms, lasts=False, why=""))
    found.sort(key=lambda each: each.start_ms)
    return [each._replace(number=number) for number, each in enumerate(found, start=1)]


def _ending(entry: Mapping[str, Any]) -> str:
    """Return what ended an execution, and its message without the advice: that was for its end."""
    name, message = ended_text(entry["ended_by"]), entry["message"].removesuffix(_ADVICE)
    return message if message.startswith(name) else ": ".join(filter(None, [name, message]))


def gaps_of(executions: Iterable[Mapping[str, Any]]) -> list[Gap]:
    """Return the stretches of time between executions, in which no process ran."""
    return gaps_between(spans_of(executions))


def spans_of(executions: Iterable[Mapping[str, Any]]) -> list[Span]:
    """Return when each execution ran."""
    return [_span(entry) for entry in executions]


def _span(entry: Mapping[str, Any]) -> Span:
    """Return the Unix times of the start and the end of an execution; one that died ended when it was seen last."""
    return _ms(entry["started_at"]), _ms(entry["until"])


def _ms(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() * 1000


def _by_word(pauses: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the pauses of endpoints by what they are: `NAME away`, `NAME closed`."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for pause in pauses:
        found.setdefault(pause_word(pause), []).append(pause)
    return list(found.values())


def _pauses(entry: Mapping[str, Any], its: Iterable[Mapping[str, Any]], *, names_models: bool) -> Iterator[Event]:
    """Yield pauses of one kind of an execution; those of several models at the same time are one."""
    spans = [(_ms(each["started_at"]), _ms(each["ended_at"] or entry["until"]), each) for each in its]
    together: list[list[Any]] = []
    for start_ms, until_ms, pause in sorted(spans, key=lambda each: each[:2]):
        if together and start_ms <= together[-1][1]:
            together[-1][1] = max(together[-1][1], until_ms)
            together[-1][2].append(pause)
        else:
            together.append([start_ms, max(start_ms, until_ms), [pause]])
    for start_ms, until_ms, pauses in together:
        lasts = entry["state"] == "running" and any(each["ended_at"] is None for each in pauses)
        why = pause_reason(pauses, is_of_several=names_models)
        what, endpoint = pause_word(pauses[0]), pauses[0].get("endpoint", "")
        look: Look = "closed" if pauses[0]["kind"] == CLOSED else "pause"
        yield Event(0, look, what, start_ms, until_ms, lasts=lasts, why=why, endpoint=endpoint)


def lines_of(events: Sequence[Event], clock: Clock) -> list[EventLine]:
    """Return the lines of the table, at most `_MOST_EVENTS` of the latest; times are those of the clock."""
    return [_line(event, clock) for event in events[-_MOST_EVENTS:]]


def _line(event: Event, clock: Clock) -> EventLine:
    return EventLine(
        event.number,
        event.look,
        event.what,
        f"{clock.local(event.start_ms):%Y-%m-%d %H:%M:%S}",
        "" if event.lasts else f"{clock.local(event.end_ms):%Y-%m-%d %H:%M:%S}",
        duration_text((event.end_ms - event.start_ms) / 1000),
        "" if event.rows is None else f"{event.rows:,}",
        event.cost,
        event.why,
    )


def bands_of(events: Iterable[Event], clock: Clock, endpoint: str = "") -> list[Band]:
    """Return the pauses and gaps that the time axis shows: a restart is a band however short it is.

    A gap begins where the clock has it: after the last answer.

    Args:
        events: that happened.
        clock: of the time axis.
        endpoint: name of one endpoint of several, to show only when that was away or closed; empty: all pauses, and not
            the endpoints that were closed, which may be for most of the time.
    """
    bands = []
    begins = {gap.end_ms: gap.start_ms for gap in clock.gaps}
    for event in events:
        start_ms = max(begins.get(event.end_ms, 0), event.start_ms) if event.look == "gap" else event.start_ms
        low_ms, high_ms = max(start_ms, clock.start_ms), min(event.end_ms, clock.end_ms)
        if _is_shown(event, endpoint) and low_ms <= high_ms:
            label = f"{event.number}: {event.what} {duration_text((event.end_ms - event.start_ms) / 1000)}"
            places = clock.place(low_ms) / 1000, clock.place(high_ms) / 1000
            title = ": ".join(filter(None, [label, event.why]))
            bands.append(Band(*places, event.look, label, str(event.number), title))
    return bands


def _is_shown(event: Event, endpoint: str) -> bool:
    if event.look == "gap" or not endpoint:
        return event.look in ("gap", "pause")
    return event.endpoint == endpoint
