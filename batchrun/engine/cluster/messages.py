"""What the driver and a worker send each other. One exchange: orders go out, a word comes back."""

import pickle
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from batchrun.endpoint.pool.elsewhere import Abroad, Danger, Left
from batchrun.engine.cluster.bound import Answered, News
from batchrun.engine.cluster.keeper import Allowance
from batchrun.engine.cluster.leases import Leased
from batchrun.engine.cluster.till import Books, Grant
from batchrun.records import Event, LaneState, Outcome, PackedRow, Request, Stop, Usage

if TYPE_CHECKING:  # what only decides needs messages, and no database
    from batchrun.checkpoint.packing import Dictionary

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of outcomes."""

_PACKED = len(PackedRow._fields)


class Terms(NamedTuple):
    """How a worker makes outcomes ready to be written: what it does not know yet."""

    numbers: Mapping[str, int] = {}
    """By model, its number in the checkpoint."""
    dictionary: "Dictionary | None" = None
    """What answers are packed with from now on; None: as before."""


class Shipment(NamedTuple):
    """Outcomes."""

    ids: bytes
    """Of those that are ready, as the checkpoint has them; 8 bytes each."""
    content: bytes
    """These, sealed; see `checkpoint.ready`. Empty for none."""
    sharing: bytes
    """Outcomes that share replies, which only the writer can make ready, packed; empty for none."""


NOTHING_SHIPPED = Shipment(b"", b"", b"")


class Orders(NamedTuple):
    """What the driver wants of a worker."""

    number: int
    """Of the exchange, from 1. The same number again: the answer was lost, and is repeated."""
    rows: bytes
    """More requests, and rows to make requests of, packed; empty for none."""
    grants: Mapping[str, int]
    """By endpoint, how many more or fewer requests may be in flight."""
    money: Grant
    """How much more, or less, the worker may use."""
    is_dry: bool
    """Whether no more rows come for now: what is left is to be settled without them."""
    is_last: bool
    """Whether no more rows will ever come."""
    closed: Mapping[str, Stop]
    """Models that nothing more is to be sent to, and why: another worker was refused."""
    stop: Stop | None
    """Why nothing more is to be sent; None while requests are sent."""
    ship_s: float
    """How old an outcome gets at the worker before it is shipped."""
    abroad: Mapping[str, Abroad] = {}
    """By model, what other nodes know of it; empty where no endpoint is a node's own."""
    dangers: Mapping[tuple[int, str, int], Danger] = {}
    """What is known about some of the rows, which other nodes have handed back."""
    terms: Terms = Terms()
    """What is new of how outcomes are made ready."""


def pack_orders(orders: Orders) -> bytes:
    """Return orders as bytes: what carries them does nothing with bytes but carry them."""
    return pickle.dumps(orders, 5)


def unpack_orders(packed: bytes) -> Orders:
    """Return what `pack_orders` was given. Only for bytes of this run's own processes."""
    orders: Orders = pickle.loads(packed)  # noqa: S301
    return orders


class RouteWord(NamedTuple):
    """What a worker reports of one endpoint."""

    allowance: Allowance
    news: Sequence[News]
    """What happened to its requests since the last word."""
    throttled: int
    """Attempts that were rejected, in all."""
    trouble: str | None
    """Why nothing is sent there; None while requests are sent."""
    is_heard: bool
    """Whether the endpoint has ever replied."""
    is_away: bool
    """Whether every model there that is not closed is paused."""
    away_s: float | None
    """For how long a model has been away; None when none is."""
    probe_in_s: float | None
    """In how many seconds a paused model is asked next; None when none is paused, or while it is being asked."""
    lanes: Sequence[LaneState]
    """The state of each model that was asked for there."""
    answered: Sequence[str]
    """The models that have answered a row there."""
    closed: Mapping[str, Stop]
    """The models that nothing more is sent to there, and why."""


class Word(NamedTuple):
    """What a worker reports."""

    incarnation: str
    """Identifies the worker's process: rows of another one are lost."""
    number: int
    """Of the exchange that it answers."""
    outcomes: Shipment
    events: Sequence[Event]
    routes: Mapping[str, RouteWord]
    """By endpoint."""
    books: Books | None
    """What it has used; None where the job has no caps."""
    fresh: int
    """Rows there that were never sent."""
    waiting: int
    """Rows there that wait to be sent again."""
    is_late: bool
    """Whether all that is left there is in flight and takes longer than usual."""
    drain_s: float
    """How long it waits at most, were it stopped now, or since it was."""
    drained: tuple[int, int]
    """How many requests were in flight when it was stopped, and how many of these have no outcome."""
    closed: Mapping[str, Stop]
    """Models that nothing more is sent to, wherever they are served, and why."""
    unanswered: Stop | None
    """Why it would stop the run, if it were alone: all that it was asked is closed, or nothing has ever answered."""
    is_done: bool
    """Whether the worker has ended: all its rows have an outcome, or it was stopped and has drained."""
    stop: Stop | None
    """Why it stopped or leaves rows open, if it does."""
    left: Sequence[Left] = ()
    """Rows that it hands back, for other nodes."""
    given_up: Collection[str] = ()
    """Models whose rows other nodes should send, if they can."""


def pack_word(word: Word) -> bytes:
    """Return a word as bytes; news of answers, of which there are many, as plain tuples."""
    news = {
        name: [tuple(each) if isinstance(each, Answered) else each for each in route.news]
        for name, route in word.routes.items()
    }
    routes = {name: route._replace(news=()) for name, route in word.routes.items()}
    return pickle.dumps((word._replace(routes=routes), news), 5)


def unpack_word(packed: bytes) -> Word:
    """Return what `pack_word` was given. Only for bytes of this run's own processes."""
    word, news = pickle.loads(packed)  # noqa: S301
    routes = {
        name: route._replace(news=[_new(Answered, each) if type(each) is tuple else each for each in news[name]])
        for name, route in word.routes.items()
    }
    found: Word = word._replace(routes=routes)
    return found


def pack_rows(rows: Iterable[Leased]) -> bytes:
    """Return requests and rows as bytes: plain tuples take a third of the time of records."""
    return pickle.dumps([tuple(row) for row in rows], 5)


def unpack_rows(packed: bytes) -> list[Leased]:
    """Return what `pack_rows` was given. Only for bytes of this run's own processes."""
    loaded = pickle.loads(packed)  # noqa: S301
    return [_new(PackedRow if len(each) == _PACKED else Request, each) for each in loaded]


def pack_outcomes(outcomes: Iterable[Outcome]) -> bytes:
    """Return outcomes as bytes."""
    return pickle.dumps([(*outcome[:12], tuple(outcome[12]), *outcome[13:]) for outcome in outcomes], 5)


def unpack_outcomes(packed: bytes) -> list[Outcome]:
    """Return what `pack_outcomes` was given. Only for bytes of this run's own processes."""
    loaded = pickle.loads(packed)  # noqa: S301
    return [_new(Outcome, [*each[:12], _new(Usage, each[12]), *each[13:]]) for each in loaded]
