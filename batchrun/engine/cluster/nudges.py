"""Which workers there is something to tell, so that their waits end; and whose slots others get, as they are silent."""

from batchrun.engine.cluster.neighbours import Neighbours
from batchrun.engine.cluster.overview import Overview
from batchrun.engine.cluster.post import Post

NUDGE_EVERY_S = 0.025
"""How often it is looked."""

_AFTER_S, _AGAIN_S = 0.04, 0.1
"""How long an exchange waits until its worker is nudged, and until it is nudged again."""

LEND_AFTER_S = 4.0
"""How long a worker may be silent until others have its slots: twice the time for which it sends without a word."""


class Nudges:
    """Ends the waits of workers."""

    def __init__(self, overview: Overview, neighbours: Neighbours) -> None:
        self._run, self._neighbours = overview, neighbours

    def look(self, now_s: float) -> None:
        """Nudge those that there is something to tell; lend the slots of those that are silent."""
        for place, post in self._run.posts.items():
            if post.asked_s is None:
                continue
            self._lend_if_silent(place, now_s - post.asked_s)
            waited_s = now_s - max(post.asked_s, post.nudged_s - _AFTER_S + _AGAIN_S)
            if waited_s > _AFTER_S and self._has_to_tell(place, post):
                post.nudged_s = now_s
                post.handle.nudge()

    def _lend_if_silent(self, place: int, silent_s: float) -> None:
        if silent_s > LEND_AFTER_S:
            for keeper in self._run.posts[place].keepers.values():
                if not keeper.is_lent(place):
                    keeper.lend(place)

    def _has_to_tell(self, place: int, post: Post) -> bool:
        if self._run.is_over or any(sharer.is_due(place) for sharer in post.sharers):
            return True
        is_short = post.is_short and self._run.leases.waiting > 0 and not self._neighbours.shunned_by(place)
        return is_short and any(keeper.free_slots(place) for keeper in post.keepers.values())
