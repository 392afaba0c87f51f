"""The connection to a Ray cluster: joins one, or starts one on this machine, and ends with the run."""

import contextlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from batchrun.engine.ray.head import check_head, uses_tls
from batchrun.engine.ray.lookout import Lookout
from batchrun.errors import JobError
from batchrun.job.engine import Engine, host_and_port

_ADDRESS = "RAY_ADDRESS"

_LOCAL, _AUTO = "local", "auto"

_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Variables with the token of a cluster, or the file that has it."""

_TOKEN_FILE = Path(".ray", "auth_token")
"""Where Ray keeps it in the home folder."""

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

_ASKS_FOR_TOKEN = re.compile("(?i)unauthenticated|auth(?:entication)? ?token")
"""What Ray's errors say where a token is missing or wrong. Source: Ray 2.60."""

_OF_ITS_FOLDER = re.compile(r"AF_UNIX path length|\[Errno \d+\]")
"""What the errors of a cluster on this machine say where Ray's folder has too long a name, or cannot be written."""

_OTHER_VERSIONS = re.compile(r"Version mismatch:.*?Ray: (\S+)\s+Python: (\S+).*?Ray: (\S+)\s+Python: (\S+)", re.DOTALL)
"""What Ray says of a cluster with other versions: first those of the cluster. Source: Ray 2.60."""


class Connection:
    """A cluster that this process has joined."""

    def __init__(self, ray: Any, lookout: Lookout) -> None:
        self._ray, self._lookout = ray, lookout
        self.is_encrypted = uses_tls()
        """Whether messages between its nodes are."""

    def nodes_with(self, cpus: float) -> int:
        """Return how many nodes that are alive have so many processors: the head of a cluster often has none."""
        return sum(1 for _ in self._with(cpus))

    def machines_with(self, cpus: float) -> int:
        """Return on how many machines these nodes are: several nodes may be on one."""
        return len({node["NodeManagerAddress"] for node in self._with(cpus)})

    def _with(self, cpus: float) -> Iterator[dict[str, Any]]:
        return (node for node in self._nodes if node["Resources"].get("CPU", 0) >= cpus)

    def room(self, cpus: float) -> str:
        """Return how many processors a worker needs, and how many there are for it; empty where it needs none."""
        if not cpus:
            return ""
        free, all_of = self._lookout.seen.free_cpus, self._lookout.seen.all_cpus
        needed = "1 processor" if cpus == 1 else f"{cpus:g} processors"
        are = "is" if free == 1 else "are"
        if not self.nodes_with(cpus):
            return f"each needs {needed}, and no node has so many; lower engine.cpus_per_worker, or add such a node"
        return (
            f"each needs {needed}, and {free:g} of the {all_of:g} of the cluster {are} free, not counting those of "
            "workers that Ray is starting"
        )

    @property
    def is_local(self) -> bool:
        """Whether all nodes are on this machine: nothing that is sent to workers leaves it."""
        return {*self._addresses} <= {self._ray.util.get_node_ip_address()}

    @property
    def _addresses(self) -> list[str]:
        return [node["NodeManagerAddress"] for node in self._nodes]

    @property
    def _nodes(self) -> list[dict[str, Any]]:
        return self._lookout.seen.nodes

    @property
    def trouble(self) -> str:
        """Why the cluster can start no workers for this process, for people; empty while nothing is known."""
        return self._lookout.trouble


@contextlib.contextmanager
def connected(engine: Engine, say: Callable[[str], None]) -> Iterator[Connection]:
    """Yield the connection to the cluster of a job; leave it at the end.

    Args:
        engine: of the job.
        say: prints what is waited for.

    Raises:
        JobError: Ray is not installed, or the cluster cannot be joined.
    """
    origin, address = _chosen(engine)
    ray = _imported()
    if ray.is_initialized():
        with _connection(ray) as connection:
            yield connection
        return
    if address == _AUTO:
        address = _found(origin)
    if address == _LOCAL:
        say("starting Ray on this machine …")
        _keep_token_out_of_home()
    else:
        say(f"joining the Ray cluster {_place(address)} …")
    if (head := host_and_port(address)) is not None:
        check_head(origin, address, *head)
    _join(ray, origin, address)
    try:
        with _silent(), _connection(ray) as connection:
            yield connection
    finally:
        ray.shutdown()


def _chosen(engine: Engine) -> tuple[str, str]:
    """Return the address of the cluster, and before it the setting or the variable that it is from.

    As in Ray, the variable takes the place of `auto`.
    """
    stated, variable = engine.address, os.environ.get(_ADDRESS)
    is_stated = bool(stated) and not (stated == _AUTO and variable)
    origin, address = ("engine.address", stated or _LOCAL) if is_stated else (_ADDRESS, variable or _LOCAL)
    try:
        host_and_port(address)
    except ValueError as problem:
        raise JobError(f'{origin} = "{address}"; {problem}') from None
    return origin, address


def _found(origin: str) -> str:
    """Return the address of the cluster that was started last on this machine."""
    try:
        return _started_here() or _AUTO
    except ConnectionError:
        cure = "start one with ray start --head, or give HOST:PORT of a head"
        raise JobError(f'{origin} = "{_AUTO}"; no Ray cluster runs on this machine; {cure}') from None


def _started_here() -> str | None:
    """Return what Ray takes for `auto`; None where a version has no such function. Raises what Ray raises for none."""
    with contextlib.suppress(ImportError, AttributeError, TypeError):
        from ray._private import services

        address: str | None = services.canonicalize_bootstrap_address(_AUTO)
        return address
    return None


@contextlib.contextmanager
def _connection(ray: Any) -> Iterator[Connection]:
    lookout = Lookout(ray)
    with lookout.looking():
        yield Connection(ray, lookout)


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
        raise JobError("engine.kind = \"ray\" needs Ray; install it: pip install 'ray>=2.50'") from None
    return ray


def _keep_token_out_of_home() -> None:
    """Give a cluster that ends with the run a token that is written nowhere.

    Ray would save one in the home folder. From then on each cluster that the user starts would ask for it.
    """
    if not any(os.environ.get(name) for name in _TOKENS) and not (Path.home() / _TOKEN_FILE).exists():
        os.environ[_TOKENS[0]] = secrets.token_hex(32)


def _join(ray: Any, origin: str, address: str) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)  # it would report each step of joining
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address == _LOCAL:
        settings["include_dashboard"] = False
    try:
        if host_and_port(address) is not None:
            _knock(address)
        ray.init(address=address, **settings)
    except Exception as problem:  # noqa: BLE001  # of many kinds, none of them documented
        raise JobError(_why_not_joined(origin, address, str(problem) or type(problem).__name__)) from None


def _knock(address: str) -> None:
    """Ask the head of a cluster who it is; raises what Ray raises where it does not answer, or has other versions.

    `ray.init` would try for longer, and not raise that a token is missing; between some versions it finds no folder
    after 40 s, and does not say why. Where a version has no such class or function, nothing is asked.
    """
    with contextlib.suppress(ImportError, TypeError, AttributeError):
        from ray._raylet import GcsClient  # type: ignore[attr-defined]  # Ray has no types for it

        head = GcsClient(address=address)
        from ray._common.usage.usage_lib import get_cluster_metadata
        from ray._private.utils import check_version_info

        check_version_info(get_cluster_metadata(head), address)


def _why_not_joined(origin: str, address: str, reason: str) -> str:
    """Return the message for what Ray has raised."""
    first = reason.splitlines()[0]
    if address == _LOCAL:
        cure = "; set RAY_TMPDIR to a folder with a short name, such as /tmp" if _OF_ITS_FOLDER.search(first) else ""
        return f"a Ray cluster on this machine cannot be started: {first}{cure}"
    place = _place(address)
    if _ASKS_FOR_TOKEN.search(reason):
        return (
            f"{origin}: the Ray cluster {place} asks for its token; set RAY_AUTH_MODE=token, and have the token "
            "of the head here: in ~/.ray/auth_token, or in RAY_AUTH_TOKEN"
        )
    if (versions := _OTHER_VERSIONS.search(reason)) is not None:
        theirs, ours = ("Ray {} on Python {}".format(*each) for each in (versions.groups()[:2], versions.groups()[2:]))
        return f"{origin}: the cluster {place} has {theirs}, and this machine {ours}; install the same versions here"
    return f"{origin}: no Ray cluster {place}: {first}"


def _place(address: str) -> str:
    return "of this machine" if host_and_port(address) is None else f"at {address}"
