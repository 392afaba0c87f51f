"""Which endpoints of several still answer for a model: while one does, its rows do not wait. Pure."""

from collections.abc import Callable, Collection


class Reachable:
    """The endpoints that are away for a model, or closed, in one execution."""

    def __init__(self) -> None:
        self.serving: Callable[[str], Collection[str]] = lambda model: ()
        """Returns the names of the endpoints that serve a model; set before the first of them is away."""
        self._away: dict[str, set[str]] = {}
        self._closed: dict[str, set[str]] = {}

    def away(self, model: str, endpoint: str) -> None:
        """Note that an endpoint does not answer for a model; empty: the only one."""
        self._away.setdefault(model, set()).add(endpoint)

    def back(self, model: str, endpoint: str) -> None:
        """Note that it answers again."""
        self._away.get(model, set()).discard(endpoint)

    def closed(self, model: str, endpoint: str) -> None:
        """Note that nothing more is sent to an endpoint for a model."""
        self.back(model, endpoint)
        self._closed.setdefault(model, set()).add(endpoint)

    def is_paused(self, model: str) -> bool:
        """Return whether the rows of a model wait: an endpoint is away, and no other one is left."""
        away = self._away.get(model, set())
        return bool(away) and away | self._closed.get(model, set()) >= {*self.serving(model)}
