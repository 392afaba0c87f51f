"""What the nodes of a cluster know of each other's endpoints, where each node has its own. Pure."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from batchrun.endpoint.pool.elsewhere import Abroad
from batchrun.engine.cluster.messages import Word

_OPEN, _AWAY, _CLOSED = "open", "away", "closed"


class _Node(NamedTuple):
    """One worker's word on its models."""

    address: str
    states: Mapping[str, str]
    is_heard: bool


class Neighbours:
    """The workers, by the node that they are on."""

    def __init__(self, *, is_needed: bool) -> None:
        """Begin without workers; `is_needed`: whether any endpoint is a node's own."""
        self._is_needed = is_needed
        self._nodes: dict[int, _Node] = {}
        self._seen: dict[str, Mapping[str, Abroad]] = {}  # by address, until something changes

    def join(self, worker: int, address: str) -> None:
        """Add a worker; what is answered there is not known yet."""
        self._note(worker, _Node(address, {}, is_heard=False))

    def leave(self, worker: int) -> None:
        """Remove a worker that is dead."""
        self._nodes.pop(worker, None)
        self._seen.clear()

    def hear(self, worker: int, word: Word) -> None:
        """Take a worker's word."""
        if not self._is_needed:
            return
        models = {lane.model for route in word.routes.values() for lane in route.lanes}
        is_heard = any(route.is_heard for route in word.routes.values())
        node = _Node(self._nodes[worker].address, {model: _state(word, model) for model in models}, is_heard)
        if node != self._nodes[worker]:
            self._note(worker, node)

    def _note(self, worker: int, node: _Node) -> None:
        self._nodes[worker] = node
        self._seen.clear()

    def seen_from(self, worker: int) -> Mapping[str, Abroad]:
        """Return what a worker needs to know of other nodes, by model."""
        address = self._nodes[worker].address
        if address not in self._seen:
            others = [node for node in self._nodes.values() if node.address != address]
            models = {model for node in self._nodes.values() for model in node.states}
            self._seen[address] = {model: _abroad(model, others) for model in models}
        return self._seen[address]

    def shunned_by(self, worker: int) -> Collection[str]:
        """Return the models whose rows a worker should not be given, since other nodes can send them."""
        states = self._nodes[worker].states
        if all(state == _OPEN for state in states.values()):
            return ()
        seen = self.seen_from(worker)
        return frozenset(model for model, state in states.items() if state != _OPEN and seen[model].is_open)

    def is_closed(self, model: str) -> bool:
        """Return whether all nodes have closed a model."""
        return self._is_needed and all(node.states.get(model) == _CLOSED for node in self._nodes.values())


def _state(word: Word, model: str) -> str:
    """Return whether a worker's node answers a model; a doubt that lasts a moment is none that matters to others."""
    lanes = [lane for route in word.routes.values() for lane in route.lanes if lane.model == model]
    if all(lane.is_closed for lane in lanes):
        return _CLOSED
    return _AWAY if model in word.given_up else _OPEN


def _abroad(model: str, others: Collection[_Node]) -> Abroad:
    states = [node.states.get(model, _AWAY) for node in others]
    return Abroad(
        is_open=any(state == _OPEN and node.is_heard for state, node in zip(states, others, strict=True)),
        is_closed=all(state == _CLOSED for state in states),
        is_heard=any(node.is_heard for node in others),
    )
