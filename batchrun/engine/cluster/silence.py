"""When a run ends because nobody is heard any more: the cluster is gone, and waiting would not bring it back."""

from collections.abc import Callable, Iterable

from batchrun.records import Stop

LOST_AFTER_S = 120.0
"""How long no worker may have been heard, where none can be started either, until the run stops."""


class ClusterLost(Exception):
    """Nobody can be asked to drain any more."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.stop = Stop(kind="cluster_lost", message=message, exit_code=5)


def stop_of(error: BaseException) -> Stop:
    """Return why a run stops whose cluster is lost; raise any other error."""
    if isinstance(error, ClusterLost):
        return error.stop
    raise error from None


class Silence:
    """Since when no worker has been heard."""

    def __init__(self, now_s: Callable[[], float], trouble: Callable[[], str]) -> None:
        """Begin now.

        Args:
            now_s: the clock.
            trouble: returns why the cluster can start no workers, for people; empty while it can.
        """
        self._now_s, self._trouble = now_s, trouble
        self._heard_s = now_s()

    def check(self, heard_s: Iterable[float]) -> None:
        """Raise `ClusterLost` if the cluster is lost: called again and again.

        Args:
            heard_s: when each worker that is alive was heard last.
        """
        now_s, trouble = self._now_s(), self._trouble()
        self._heard_s = max(self._heard_s, *heard_s, now_s if not trouble else 0.0)
        if now_s - self._heard_s > LOST_AFTER_S:
            raise ClusterLost(
                f"the Ray cluster is lost: {trouble}, and no worker has been heard for {LOST_AFTER_S / 60:g} minutes; "
                "start the cluster again and run the same command again, or run it here with --engine local"
            )
