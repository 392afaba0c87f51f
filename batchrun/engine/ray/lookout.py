"""What is seen of a Ray cluster. Ray waits for minutes for a head that is away, so a thread of its own asks it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

_EVERY_S = 2.0
"""How often the cluster is looked at."""

_AWAY_AFTER_S = 10.0
"""How old the last look is when the head counts as away."""


class Seen(NamedTuple):
    """What the head says of the cluster."""

    nodes: list[dict[str, Any]]
    """Those that are alive, as Ray describes them."""
    free_cpus: float
    all_cpus: float
    """Processors, together."""
    has_us: bool
    """Whether the node that this process is on is among them; workers end with it."""


class Lookout:
    """Looks at a cluster again and again."""

    def __init__(self, ray: Any) -> None:
        """Look for the first time, in this thread."""
        self._ray = ray
        self._look()

    def _look(self) -> None:
        ray = self._ray
        nodes = [node for node in ray.nodes() if node["Alive"]]
        free, all_of = (each.get("CPU", 0) for each in (ray.available_resources(), ray.cluster_resources()))
        own = ray.get_runtime_context().get_node_id()
        self.seen = Seen(nodes, free, all_of, any(node["NodeID"] == own for node in nodes))
        """The last look."""
        self._seen_s = time.monotonic()

    @property
    def trouble(self) -> str:
        """Why no worker can be started, for people; empty while nothing is known to be wrong."""
        if time.monotonic() - self._seen_s > _AWAY_AFTER_S:
            return "its head does not answer"
        return "" if self.seen.has_us else "the node of this machine has left it"

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again in a thread, until the context ends."""
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(_EVERY_S):
                with contextlib.suppress(Exception):  # of many kinds, none of them documented
                    self._look()

        # It may hang in Ray when the process ends.
        thread = threading.Thread(target=look, name="batchrun-lookout", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(timeout=1)
