"""The endpoints that workers send to: one for all nodes, or, where its URL is of loopback, one on each node."""

from collections.abc import Callable, Mapping

from batchrun.engine.cluster.keeper import Keeper
from batchrun.engine.cluster.routes import SharedRoute


class Endpoints:
    """All endpoints of a run, with what is known about each."""

    def __init__(
        self,
        keepers: Mapping[str, Keeper],
        now_s: Callable[[], float],
        *,
        own: Mapping[str, Callable[[], Keeper]] | None = None,
        ceiling: int | None = None,
        nodes: Callable[[], int] = lambda: 1,
    ) -> None:
        """Begin without workers.

        Args:
            keepers: share the limits, by endpoint; where each node has its own, that of the first node.
            now_s: the clock.
            own: the endpoints that each node has of its own, and what makes the keeper of one more node.
            ceiling: most requests in flight at all endpoints together; None where their own limits are enough.
            nodes: returns how many nodes may have workers; those of some may still be starting.
        """
        self._nodes = nodes
        self._now_s, self._own, self._ceiling = now_s, own or {}, ceiling
        self._first = {name: SharedRoute(name, keeper, now_s) for name, keeper in keepers.items()}
        self._by_node: dict[str, dict[str, SharedRoute]] = {}  # by address, the endpoints of its own
        self._names: dict[str, str] = {}

    @property
    def has_own(self) -> bool:
        """Whether nodes have endpoints of their own."""
        return bool(self._own)

    def is_own(self, name: str) -> bool:
        """Return whether each node has an endpoint of its own."""
        return name in self._own

    @property
    def routes(self) -> tuple[SharedRoute, ...]:
        """All of them."""
        of_nodes = (route for routes in self._by_node.values() for route in routes.values())
        return tuple(dict.fromkeys([*self._first.values(), *of_nodes]))

    @property
    def room(self) -> int | None:
        """How many more requests may be in flight; None where only the limits of endpoints bound it."""
        return None if self._ceiling is None else max(0, self._ceiling - sum(each.using for each in self.keepers))

    def node_of(self, name: str, address: str) -> str:
        """Return the node of an endpoint, as messages name it; empty unless each node has its own."""
        return self._names[address] if name in self._own else ""

    @property
    def are_of_several_nodes(self) -> bool:
        """Whether several nodes have endpoints of their own, or will have when all workers have started."""
        return self.has_own and max(len(self._by_node), self._nodes()) > 1

    @property
    def keepers(self) -> list[Keeper]:
        """What shares their limits."""
        return [route.keeper for route in self.routes]

    def at(self, address: str, node: str) -> Mapping[str, SharedRoute]:
        """Return the endpoints that a worker sends to, by name.

        Args:
            address: of its node.
            node: the name of it.
        """
        if self._own and address not in self._by_node:
            self._names[address] = address if node in self._names.values() else node
            self._by_node[address] = {name: self._of_node(name) for name in self._own}
            if len(self._by_node) > 1:
                for each, routes in self._by_node.items():
                    for route in routes.values():
                        route.node = self._names[each]
        return self._first | self._by_node.get(address, {})

    def _of_node(self, name: str) -> SharedRoute:
        if not self._by_node:
            return self._first[name]
        return SharedRoute(name, self._own[name](), self._now_s)
