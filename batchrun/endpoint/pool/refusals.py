"""Is a refusal the row's or the whole run's? Pure.

Theory of operation. A refused row may be at fault itself (its text is too long, its image is broken), or every row is
refused: the key is wrong, the credit is spent, the model does not take a parameter of the job. No status and no words
tell the two apart. What happens to others does. The evidence, the strongest first:

- *Another row is answered* that was sent after the refusal came: the refusal was the row's own. It pays for it.
- *A canary is answered*, a small request with all that the job gives every row: the job is not refused. That convicts
  rows whose kind is about their content. A refusal of a kind that keeps rows open (a key, credit, a model) may spare a
  request so small: the last cents of a credit pay for it. Where many rows were refused in this way, an answered canary
  proves nothing.
- *A canary is refused for the same reason*: it may be the run's. Where the model has answered rows, several canaries
  must be refused one after the other: a server may refuse one request in ten by chance.
- *Rows are refused that are sent to find out*: it is the run's. First fresh rows, from as far behind in the input as it
  has been read, since what is wrong with some rows is often wrong with their neighbours. Then a row that was answered
  before, once more: it is known to be sound. If one of them is answered, canaries that were refused had shown nothing,
  and from then on rows are asked instead of canaries.

So a refused row is not settled, and it is not sent again until it is judged: each refusal costs it a whole attempt, and
no row is sent more often than it has attempts.

A canary that is refused for another reason shows nothing: what it has may not fit a request so short. Then a bare
canary asks, without parameters. If that is answered or refused for yet another reason, the rows are at fault. But as
long as the model was never answered, refusals of all three with the same status may only differ in words that repeat
what was sent: then fresh rows are asked.

The reason is the same if the kind is and its name says it all, or if the status is and most words and codes are. After
an acquittal of the endpoint four times as many rows must be refused for a reason until somebody is asked again: a file
sorted by length may have thousands of rows in a row that are too long.
"""

from collections.abc import Callable, Hashable, Iterable
from enum import Enum
from typing import Generic, TypeVar

from batchrun.endpoint.pool.failures import Refusal

_REFUSALS = 3
"""Rows that must be refused for the same reason with no success between, after others were answered, until a canary
asks. A gateway that restarts answers 404 for a moment, and a firewall answers 403 to single prompts."""

_WITNESSES = 2
"""Fresh rows that must be refused until the run is: a row may be bad as often as those that were refused before it."""

_GROWTH = 4
_MANY = 48
"""Rows that must be refused for one reason, of a kind that keeps them open, until answered canaries prove nothing."""
_MOST_REFUSALS = 768
"""How fast and how far these numbers grow while canaries or rows are answered: among thousands of refused rows, one
request in 768 is a canary, and at most 768 rows are sent in vain after the credit has ended."""

_VARIED = 8
"""Different refusals with no success between, until a canary asks. Then words say nothing and only the status is
compared: a server that repeats the prompt in each of its messages never gives the same reason twice."""

_MOST_GROUPS = 32
"""Different refusals that are kept apart."""


class Whose(Enum):
    """What the refusal of a canary shows."""

    RUNS = "the run's, if fresh rows are refused too"
    ROWS = "the rows'"
    AGAIN = "ask again, with the same canary"
    OPEN = "ask again, with a bare canary"


Row = TypeVar("Row", bound=Hashable)


class _Group(Generic[Row]):
    """Rows that are refused for the same reason."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.rows: set[Row] = set()
        self.spared: dict[Row, None] = {}  # of these, those that no canary convicts, in order
        self.left = 0  # rows that another endpoint was given meanwhile
        self.enough = _REFUSALS
        self.is_canary_vain = False  # one was answered, and that proves nothing

    @property
    def is_crowd(self) -> bool:
        """Whether so many rows are refused that answered canaries prove nothing."""
        return len(self.spared) + self.left >= max(self.enough, _MANY)


class Refusals(Generic[Row]):
    """The refusals of a model that no success has judged yet."""

    def __init__(self) -> None:
        self._groups: list[_Group[Row]] = []
        self._group_of: dict[Row, _Group[Row]] = {}
        self._varied = _VARIED
        self._canaries = 0  # refused for the reason of a group, one after the other
        self._witnesses = 0  # fresh rows that were refused, one after the other
        self._is_canary_believed = False  # several were refused: only fresh rows can refute it
        self._is_canary_refuted = False  # canaries were refused, and then a fresh row was answered
        self.is_bare = False
        """Whether the next canary is a bare one: the last, with the job's parameters, was refused for another reason
        than the rows."""

    def __contains__(self, row: Row) -> bool:
        return row in self._group_of

    def add(self, row: Row, refusal: Refusal, *, is_answered: bool, is_first: bool = False) -> bool:
        """Note that a row is refused; return whether somebody must be asked.

        Args:
            row: whose request was refused.
            refusal: why.
            is_answered: whether the model was ever answered. Before that, one refusal is enough.
            is_first: whether the row was never convicted before.
        """
        self.forget([row])
        group = next((each for each in self._groups if each.refusal.is_like(refusal)), None) or self._new_group(refusal)
        group.rows.add(row)
        if is_first and refusal.is_open:
            group.spared[row] = None
        self._group_of[row] = group
        return not is_answered or self.is_enough

    @property
    def is_enough(self) -> bool:
        """Whether so many rows are refused that somebody must be asked."""
        return self._are_varied or any(len(each.rows) + each.left >= each.enough for each in self._groups)

    @property
    def _pending(self) -> list[_Group[Row]]:
        return [each for each in self._groups if each.rows or each.left]

    @property
    def _are_varied(self) -> bool:
        return len(self._pending) >= min(self._varied, _MOST_GROUPS)

    @property
    def wants_row(self) -> bool:
        """Whether a fresh row is to be asked instead of a canary."""
        return self._is_canary_believed or self._is_canary_refuted or self.is_canary_vain

    @property
    def is_canary_vain(self) -> bool:
        """Whether a canary was answered, and so many rows were refused that this proves nothing."""
        return any(each.is_canary_vain for each in self._groups)

    @property
    def is_canary_refused(self) -> bool:
        """Whether the last canary was refused for the reason of the rows: if one is answered next, that has passed."""
        return self._canaries > 0

    @property
    def one_of_many(self) -> Row | None:
        """A row that was refused with so many others that answered canaries prove nothing; None without."""
        return next((next(iter(each.spared)) for each in self._groups if each.is_crowd and each.spared), None)

    def is_spared(self, row: Row) -> bool:
        """Return whether no canary convicts the row while other rows can show whose its refusal is."""
        group = self._group_of.get(row)
        return group is not None and row in group.spared

    def _new_group(self, refusal: Refusal) -> _Group[Row]:
        if len(self._groups) == _MOST_GROUPS:
            oldest = next((each for each in self._groups if not each.rows), None)
            if oldest is None:
                return self._groups[-1]
            self._groups.remove(oldest)
        group = _Group[Row](refusal)
        self._groups.append(group)
        return group

    def forget(self, rows: Iterable[Row]) -> None:
        """Remove rows that are judged."""
        for row in rows:
            group = self._group_of.pop(row, None)
            if group is not None:
                group.rows.discard(row)
                group.spared.pop(row, None)
                group.is_canary_vain = group.is_canary_vain and bool(group.spared)

    @property
    def are_left(self) -> bool:
        """Whether refused rows were released that still count."""
        return any(each.left for each in self._groups)

    def release(self, may_leave: Callable[[Row], bool]) -> list[Row]:
        """Remove and return rows that need not wait: what refused them is not about their content.

        They count as refused until somebody is judged, so that the same is found out as with them.
        """
        released = []
        for group in self._pending:
            rows = [row for row in group.spared if may_leave(row)]
            group.left += len(rows)
            released += rows
        self.forget(released)
        return released

    def pause_ended(self, canaries: Iterable[Row]) -> None:
        """Remove canaries, and the rows that were released: the model is asked again."""
        self.forget(canaries)
        for group in self._groups:
            group.left = 0

    def canary_answered(self, *, is_last: bool = False) -> None:
        """Note that a canary was answered: more rows must be refused until the next one asks.

        Args:
            is_last: whether no fresh row is left: then a few refused rows are many.
        """
        self._is_canary_refuted = False
        for group in self._pending:
            group.is_canary_vain = group.is_crowd or (is_last and len(group.spared) + group.left >= _REFUSALS)
        self._acquit(besides=[each for each in self._pending if each.is_canary_vain])

    def row_answered(self) -> None:
        """Note that a row was answered that was sent to find out whose the refusals are."""
        self._is_canary_refuted = self._is_canary_refuted or self._is_canary_believed
        self._acquit()

    def others_answered(self) -> bool:
        """Note that a row was answered that was sent before; return whether very many refused rows are not enough now.

        A server refuses a row sooner than it answers one. So in a burst many are refused before any is answered.
        """
        groups = [each for each in self._groups if each.is_crowd and each.enough < _MOST_REFUSALS]
        for group in groups:
            group.enough = min(_GROWTH * (len(group.spared) + group.left), _MOST_REFUSALS)
        return bool(groups)

    def _acquit(self, besides: Iterable[_Group[Row]] = ()) -> None:
        self.begin_again()
        if self._are_varied:
            self._varied = min(self._varied * _GROWTH, _MOST_REFUSALS)
        for group in self._groups:
            if len(group.rows) + group.left >= group.enough and group not in besides:
                group.enough = min(group.enough * _GROWTH, _MOST_REFUSALS)

    def canary_refused(self, refusal: Refusal, *, is_answered: bool, is_shut: bool) -> Whose:
        """Return what the refusal of a canary shows about those of the rows.

        Args:
            refusal: why the canary was refused.
            is_answered: whether the model was ever answered. Before that, one canary is enough.
            is_shut: whether such a refusal can only be the run's, as a wrong key.
        """
        if self.is_like_pending(refusal) or (self.is_bare and is_shut):
            self._canaries += 1
            self._is_canary_believed = self._canaries >= (refusal.canaries if is_answered else 1)
            return Whose.RUNS if self._is_canary_believed else Whose.AGAIN
        self._canaries = 0
        self.is_bare = not self.is_bare
        if self.is_bare:
            return Whose.OPEN
        self._is_canary_believed = not is_answered and self._may_echo(refusal)
        return Whose.RUNS if self._is_canary_believed else Whose.ROWS

    def row_refused(self, *, is_last: bool) -> bool:
        """Note that a row was refused that was sent to find out; return whether that proves that it is the run's.

        Args:
            is_last: whether it is the strongest witness.
        """
        self._witnesses += 1
        return is_last and self.are_fresh_rows_refused

    @property
    def are_fresh_rows_refused(self) -> bool:
        """Whether so many fresh rows were refused that an answered one is to be asked once more."""
        return self._witnesses >= _WITNESSES

    def begin_again(self) -> None:
        """Forget what was asked: a row that was to show it failed otherwise, or nobody need be asked any more."""
        self.is_bare = self._is_canary_believed = False
        self._canaries = self._witnesses = 0

    def _may_echo(self, refusal: Refusal) -> bool:
        """Return whether rows may be refused for this reason, in words that repeat what each has sent."""
        return any(each.refusal.status == refusal.status and not each.refusal.is_named for each in self._pending)

    def is_like_pending(self, refusal: Refusal) -> bool:
        """Return whether rows that are not judged yet are refused for the same reason."""
        are_varied = self._are_varied
        return any(
            each.refusal.is_like(refusal) or (are_varied and each.refusal.status == refusal.status)
            for each in self._pending
        )
