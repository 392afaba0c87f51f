"""The connection to a Ray cluster: joins one, or starts one on this machine, and ends with the run."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from batchrun.errors import JobError
from batchrun.job.engine import RAY_CLIENT, Engine

_ADDRESS = "RAY_ADDRESS"

_PRINTS = "print_to_stdstream"

_HEAD_AWAY_S = 600
"""How long the driver lives on when the head of the cluster is away. Ray would end its process after 60 s."""

_SETTINGS = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(_HEAD_AWAY_S),
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to the makers of Ray, unless the user wants it
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns of a change that it will make
}
"""Variables that Ray reads when it is imported, or later."""


class Connection:
    """A cluster that this process has joined."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self.is_encrypted = os.environ.get("RAY_USE_TLS") == "1"
        """Whether messages between its nodes are."""

    def nodes_with(self, cpus: float) -> int:
        """Return how many nodes that are alive have so many processors: the head of a cluster often has none."""
        return sum(node["Resources"].get("CPU", 0) >= cpus for node in self._nodes)

    def room(self, cpus: float) -> str:
        """Return how many processors a worker needs, and how many are free; empty where it needs none."""
        if not cpus:
            return ""
        free, all_of = (each.get("CPU", 0) for each in (self._ray.available_resources(), self._ray.cluster_resources()))
        needed = "1 processor" if cpus == 1 else f"{cpus:g} processors"
        return f"each needs {needed}, and {free:g} of the {all_of:g} of the cluster are free"

    @property
    def is_local(self) -> bool:
        """Whether all nodes are on this machine: nothing that is sent to workers leaves it."""
        return {*self._addresses} <= {self._ray.util.get_node_ip_address()}

    @property
    def _addresses(self) -> list[str]:
        return [node["NodeManagerAddress"] for node in self._nodes]

    @property
    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]


@contextlib.contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """Yield the connection to the cluster of a job; leave it at the end.

    Raises:
        JobError: Ray is not installed, or the cluster cannot be joined.
    """
    address = engine.address or os.environ.get(_ADDRESS) or "local"
    if address.startswith(RAY_CLIENT):
        raise JobError(
            f"{_ADDRESS} = {address}: must be HOST:PORT of the head node; "
            "run the command on a machine of the cluster, such as the head"
        )
    ray = _imported()
    if ray.is_initialized():
        yield Connection(ray)
        return
    _join(ray, address)
    try:
        with _silent():
            yield Connection(ray)
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep Ray from printing on stdout that a worker or a node has died: the run reports it, and others read stdout.

    No setting does this: `log_to_driver` is for the output of workers, and the thread that prints errors asks for none.
    Where a version has no such function, nothing changes.
    """
    from ray._private import worker

    printing = getattr(worker, _PRINTS, None)
    setattr(worker, _PRINTS, lambda *lines, **settings: None)
    try:
        yield
    finally:
        setattr(worker, _PRINTS, printing)


def _imported() -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError:
        raise JobError('engine.kind = "ray" needs Ray; pip install "batchrun-llm[ray]"') from None
    return ray


def _join(ray: Any, address: str) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)  # it would report each step of joining
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address == "local":
        settings["include_dashboard"] = False
    try:
        ray.init(address=address, **settings)
    except Exception as problem:  # noqa: BLE001  # of many kinds, none of them documented
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        where = (
            "a Ray cluster on this machine cannot be started" if address == "local" else f"no Ray cluster at {address}"
        )
        raise JobError(f"engine.address: {where}: {reason}") from None
