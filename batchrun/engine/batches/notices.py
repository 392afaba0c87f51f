"""Announces batches when the first of them is on its way. Pure."""

from collections.abc import Callable

from batchrun.engine.deadline import when_text
from batchrun.report.texts import counted


class Notices:
    """Says each notice once, and none where nothing is sent."""

    def __init__(self, say: Callable[[str], None], rest_at_s: float | None, now_s: Callable[[], float]) -> None:
        """Begin.

        Args:
            say: prints a line.
            rest_at_s: when ordinary requests take over, as a Unix time; None: never.
            now_s: returns the Unix time.
        """
        self._say, self._rest_at_s, self._now_s = say, rest_at_s, now_s
        self._has_note = self._has_rest = self._has_full = False

    def going_on(self, count: int, *, is_ending: bool) -> None:
        """Announce batches that earlier executions have left.

        Args:
            count: how many there are.
            is_ending: whether they are cancelled now.
        """
        if count:
            self._say(f"going on with {counted(count, 'batch', 'batches')} of earlier executions")
        if count and not is_ending:
            self._rest()

    def new_batch(self, note: str) -> None:
        """Announce the first new batch.

        Args:
            note: on how they are sent.
        """
        if not self._has_note:
            self._has_note = True
            self._say(note)
            self._rest()

    def full(self, cap: str) -> None:
        """Announce that requests wait, the first time.

        Args:
            cap: that allows no more of them now.
        """
        if not self._has_full:
            self._has_full = True
            self._say(f"the {cap} allows no more requests now: they wait for what batches under way do not use of it")

    def lost(self, number: int, count: int) -> None:
        """Announce answers that the provider has deleted.

        Args:
            number: of their batch.
            count: how many there are.
        """
        lost = f"the answers to {counted(count, 'request')} of batch {number} are gone at the provider"
        self._say(f"{lost}; their rows are open again, and they count as paid for the caps")

    def too_large(self, number: int) -> None:
        """Announce that a batch was not taken for its size."""
        self._say(f"batch {number} is too large for the provider: the next ones are half as large")

    def _rest(self) -> None:
        if self._rest_at_s is not None and self._rest_at_s > self._now_s() and not self._has_rest:
            self._has_rest = True
            self._say(rest_text(self._rest_at_s, self._now_s()))


def rest_text(at_s: float, now_s: float) -> str:
    """Return when ordinary requests take over, for people: a time of day that has passed today means tomorrow's.

    Args:
        at_s: Unix time.
        now_s: Unix time.
    """
    return f"what no batch has answered by {when_text(at_s, now_s)}, is sent as ordinary requests, at the usual price"
