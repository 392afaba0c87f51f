"""How outcomes get from a worker into the checkpoint: ready to be written, so that the driver looks at none of them.

The driver tells a worker the *terms*: how the checkpoint numbers models, and what it packs answers with. It looks at
the ids alone: an outcome of a row that is not leased to the worker is dropped.
"""

from array import array
from collections.abc import Callable
from typing import Protocol

from batchrun.checkpoint.packing import Packer
from batchrun.checkpoint.ready import Sealed, made_ready, opened, sealed, without
from batchrun.engine.cluster.leases import Leases
from batchrun.engine.cluster.messages import NOTHING_SHIPPED, Shipment, Terms, pack_outcomes, unpack_outcomes
from batchrun.engine.cluster.post import Post
from batchrun.records import Outcome

_MANY = 512
"""Outcomes that are shipped at once."""

_MOST, _MOST_BYTES = 20_000, 64 << 20
"""Outcomes, and bytes of their answers, above which nothing more is sent until the driver takes them."""


class Outbox:
    """Outcomes at a worker."""

    def __init__(self) -> None:
        self._waiting: list[Outcome] = []
        self._waiting_bytes = 0
        self._shipped = 0
        self._numbers: dict[str, int] = {}
        self._packer = Packer()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unshipped(self) -> int:
        """How many outcomes the driver is not known to have."""
        return len(self._waiting) + self._shipped

    @property
    def has_room(self) -> bool:
        """Whether more may be sent."""
        return len(self._waiting) < _MOST and self._waiting_bytes < _MOST_BYTES

    @property
    def is_due(self) -> bool:
        """Whether there are so many that they are shipped at once."""
        return len(self._waiting) >= _MANY

    def agree(self, terms: Terms) -> None:
        """Make outcomes ready on these terms from now on."""
        self._numbers |= terms.numbers
        if terms.dictionary is not None:
            self._packer.use(terms.dictionary)

    def add(self, outcome: Outcome) -> None:
        """Add an outcome."""
        self._waiting.append(outcome)
        self._waiting_bytes += len(outcome.body or b"") + (0 if outcome.reply is None else outcome.reply.size)

    def ship(self) -> Shipment:
        """Return all that is there, for the driver."""
        outcomes, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._shipped = len(outcomes)
        own = [each for each in outcomes if each.reply is None]
        sharing = [each for each in outcomes if each.reply is not None] if len(own) < len(outcomes) else []
        if not own:
            return NOTHING_SHIPPED._replace(sharing=pack_outcomes(sharing) if sharing else b"")
        ready = made_ready(own, self._numbers, self._packer.pack)
        ids = array("q", ready.ids).tobytes()
        return Shipment(ids, sealed(ready).content, pack_outcomes(sharing) if sharing else b"")


class Recorder(Protocol):
    """The checkpoint, as far as the driver needs it."""

    packer: Packer
    has_room: Callable[[], bool]

    def model_id(self, model: str) -> int:
        """Return the number of a model."""

    def put_ready(self, ready: Sealed) -> None:
        """Have outcomes written that are ready."""


class Inbox:
    """Outcomes at the driver."""

    def __init__(self, leases: Leases, recorder: Recorder, on_outcome: Callable[[Outcome], None]) -> None:
        """Begin.

        Args:
            leases: which worker has which rows.
            recorder: the checkpoint.
            on_outcome: takes an outcome that cannot be made ready elsewhere.
        """
        self._leases, self._recorder, self._on_outcome = leases, recorder, on_outcome

    def terms(self, post: Post) -> Terms:
        """Return what a worker does not know yet."""
        numbers = {model: number for model, number in self._leases.models.items() if model not in post.numbered}
        post.numbered.update(numbers)
        dictionary = self._recorder.packer.dictionary
        if dictionary == post.dictionary:
            return Terms(numbers)
        post.dictionary = dictionary
        return Terms(numbers, dictionary)

    def take(self, place: int, shipment: Shipment) -> int:
        """Have outcomes of a worker written, but those that come too late; return how many count."""
        counted = 0
        if shipment.ids:
            ids = array("q", shipment.ids)
            late = self._leases.settle(place, ids)
            counted = len(ids) - len(late)
            content = shipment.content if not late else sealed(without(opened(shipment.content), late)).content
            if counted:
                self._recorder.put_ready(Sealed(counted, content))
        for outcome in unpack_outcomes(shipment.sharing) if shipment.sharing else ():
            if not self._leases.settle(place, [self._leases.id_of(outcome)]):
                counted += 1
                self._on_outcome(outcome)
        return counted
