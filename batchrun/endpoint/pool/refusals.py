"""Is a refusal the row's or the whole run's? Pure.

Theory of operation. A refused row may be at fault itself (its text is too long, its image is broken), or all rows are
refused alike: the key is wrong, the credit is spent, the model does not take a parameter of the job. No status and no
words tell the two apart. What happens to others does:

- A refused row is not settled. It waits, as a suspect, for the next success of a request that was sent after the
  refusal came: then the refusal was its own.
- When several rows were refused alike with no such success between, nothing more is sent, and a canary asks with the
  job's own parameters. If it is answered, the rows are at fault. If it is refused alike, it is the run's. Where the
  model has answered rows, several canaries must be refused one after the other: a server may refuse one request in ten
  by chance.
- A canary that is refused for another reason shows nothing: its parameters may not fit a request so short. Then a bare
  canary asks, without parameters. If that is answered or refused for yet another reason, the rows are at fault.

"Alike" is the same named kind, or the same status with mostly the same words and codes. After an acquittal of the
endpoint four times as many rows must be refused in this way until a canary asks again: a file sorted by length may have
thousands of rows in a row that are too long.
"""

from collections.abc import Hashable, Iterable
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from batchrun.endpoint.pool.reason import Reason

REFUSALS = 3
"""Rows that must be refused alike with no success between, after others were answered, until a canary asks. A gateway
that restarts answers 404 for a moment, and a firewall answers 403 to single prompts."""

_CANARIES = 5
"""Canaries that must be refused alike, one after the other, until a model that has answered rows counts as refused. A
server that refuses one request in ten by chance refuses five one after the other once in 100,000 times."""

_CANARIES_OF_MODEL = 50
"""The same where a server that fails (5xx) does not know the model: a minute, by the waits between probes. A gateway
that restarts knows no model for a while."""

_OF_MODEL = "model_not_found"

_GROWTH = 4
_MOST_REFUSALS = 768
"""How fast and how far that number grows while canaries are answered: in a stretch of thousands of refused rows, one
request in 768 is a canary, and at most 768 rows are sent in vain after the credit has ended."""

_VARIED = 8
"""Different refusals with no success between, until a canary asks. Then words say nothing and only the status is
compared: a server that repeats the prompt in each of its messages never refuses twice alike."""

_MOST_GROUPS = 32
"""Different refusals that are kept apart."""


class Refusal(NamedTuple):
    """Why a request was refused."""

    kind: str
    is_named: bool
    """Whether the kind alone says why."""
    status: int
    reason: Reason

    def is_like(self, other: "Refusal") -> bool:
        """Return whether both are refused for the same reason, as far as one can see."""
        if self.kind == other.kind and self.is_named:
            return True
        return self.status == other.status and self.reason.is_like(other.reason)


class Whose(Enum):
    """What the refusal of a canary shows."""

    RUNS = "the run's"
    ROWS = "the rows'"
    AGAIN = "ask again, with the same canary"
    OPEN = "ask again, with a bare canary"


Row = TypeVar("Row", bound=Hashable)


class _Group(Generic[Row]):
    """Rows that are refused alike."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.rows: set[Row] = set()
        self.enough = REFUSALS


class Refusals(Generic[Row]):
    """The refusals of a model that no success has judged yet."""

    def __init__(self) -> None:
        self._groups: list[_Group[Row]] = []
        self._group_of: dict[Row, _Group[Row]] = {}
        self._varied = _VARIED
        self._canaries = 0  # refused alike, one after the other
        self.is_bare = False
        """Whether the next canary is a bare one: the last, with the job's parameters, was refused for another reason
        than the rows."""

    def __contains__(self, row: Row) -> bool:
        return row in self._group_of

    def add(self, row: Row, refusal: Refusal, *, is_answered: bool) -> bool:
        """Note that a row is refused; return whether a canary must ask.

        Args:
            row: whose request was refused.
            refusal: why.
            is_answered: whether the model was ever answered. Before that, one refusal is enough.
        """
        self.forget([row])
        group = next((each for each in self._groups if each.refusal.is_like(refusal)), None) or self._new_group(refusal)
        group.rows.add(row)
        self._group_of[row] = group
        return not is_answered or len(group.rows) >= group.enough or len(self._pending) >= self._varied

    @property
    def _pending(self) -> list[_Group[Row]]:
        return [each for each in self._groups if each.rows]

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

    def canary_answered(self) -> None:
        """Note that a canary was answered: more rows must be refused until the next one asks."""
        self.is_bare = False
        self._canaries = 0
        if len(self._pending) >= self._varied:
            self._varied = min(self._varied * _GROWTH, _MOST_GROUPS)
        for group in self._groups:
            if len(group.rows) >= group.enough:
                group.enough = min(group.enough * _GROWTH, _MOST_REFUSALS)

    def canary_refused(self, refusal: Refusal, *, is_answered: bool, is_shut: bool) -> Whose:
        """Return what the refusal of a canary shows about those of the rows.

        Args:
            refusal: why the canary was refused.
            is_answered: whether the model was ever answered. Before that, one canary is enough.
            is_shut: whether such a refusal can only be the run's, as a wrong key.
        """
        if self._is_like_pending(refusal) or (self.is_bare and is_shut):
            self._canaries += 1
            is_starting = refusal.status >= 500 and refusal.kind == _OF_MODEL
            enough = (_CANARIES_OF_MODEL if is_starting else _CANARIES) if is_answered else 1
            return Whose.RUNS if self._canaries >= enough else Whose.AGAIN
        self._canaries = 0
        self.is_bare = not self.is_bare
        return Whose.OPEN if self.is_bare else Whose.ROWS

    def _is_like_pending(self, refusal: Refusal) -> bool:
        pending = self._pending
        is_varied = len(pending) >= _VARIED
        return any(
            each.refusal.is_like(refusal) or (is_varied and each.refusal.status == refusal.status) for each in pending
        )
