"""A Ray cluster whose nodes are machines of their own; the head, the driver and the endpoint are in this process's."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from on_ray.networks import CONTROL, DATA, Machine, Networks, networks
from real.servers import free_port

_PORTS = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "metrics-export")
"""Ports that Ray's processes on a node would agree on in files; it dies where that takes 15 s, on a busy machine."""

HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1_000,
    "health_check_timeout_ms": 10_000,
    "health_check_failure_threshold": 4,
}
"""A node that is killed is found out within a few seconds; one that is cut off, after more than ten."""

_FILES = {
    "dashboard_agent_listen": "dashboard-agent-listen",
    "metrics_agent": "dashboard-agent-grpc",
    "metrics_export": "metrics-export",
}
"""Those files by the ports that are in them; without a dashboard there are none, and they hold -1."""

_STORE_BYTES = 80_000_000

_START_S = 300


class Node:
    """A node with room for workers."""

    def __init__(self, machine: Machine, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.machine, self._start = machine, start
        self.process = start()

    def kill(self) -> None:
        """Kill everything on it at once, as if its power were cut."""
        self.machine.kill()
        self.process.wait()

    def start(self) -> None:
        """Start it again; it needs seconds to join."""
        self.process = self._start()

    def look(self) -> None:
        """Start it again if it has given up: Ray waits for 30 s, which may be too short on a busy machine."""
        if self.process.poll() is not None:
            self.start()

    @property
    def worker(self) -> int | None:
        """The process id of its worker; None while there is none."""
        for pid in self.machine.processes:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::Actor"):
                    return pid
        return None


class Nodes:
    """A cluster."""

    def __init__(
        self,
        networks: Networks,
        folder: Path,
        *,
        python: str,
        health: dict[str, int],
        has_dashboard: bool,
        head_cpus: int,
    ) -> None:
        self.networks, self.folder, self.python, self._has_dashboard = networks, folder, python, has_dashboard
        self._log = (folder / "ray.log").open("wb")
        self.nodes: list[Node] = []
        here = networks.here[CONTROL]
        self.address = f"{here}:{(port := free_port())}"
        self.dashboard = f"http://127.0.0.1:{(dashboard_port := free_port())}"
        """URL of its API, where it has one."""
        shows = f"--dashboard-port={dashboard_port}" if has_dashboard else "--include-dashboard=false"
        settings = f"--system-config={json.dumps(health)}"
        self._head_flags = ("--head", f"--port={port}", f"--num-cpus={head_cpus}", here, settings, shows)
        self.head = self._start([], *self._head_flags)

    @property
    def data_address(self) -> str:
        """The address at which an endpoint in the tests' own process is reached from the nodes."""
        return self.networks.here[DATA]

    @property
    def session(self) -> Path:
        """The folder of Ray's logs."""
        return self.folder / "session_latest"

    def _start(self, within: list[str], *flags: str, **variables: str) -> subprocess.Popen[bytes]:
        flags = tuple(f"--node-ip-address={each}" if each[0] == "1" else each for each in flags)
        command = [self.python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        store = f"--object-store-memory={_STORE_BYTES}"
        ports = {each: free_port() for each in _PORTS}
        place = [f"--{each}-port={port}" for each, port in ports.items()]
        place += [f"--temp-dir={self.folder}"] if "--head" in flags else []
        node_id = secrets.token_hex(28)
        variables["RAY_OVERRIDE_NODE_ID_FOR_TESTING"] = node_id
        threading.Thread(target=self._name_ports, args=(node_id, ports), daemon=True).start()
        return subprocess.Popen(
            [*within, *command, store, *place, *flags],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"RAY_DISABLE_IMPORT_WARNING": "1"} | variables,
            start_new_session=True,
        )

    def _name_ports(self, node_id: str, ports: dict[str, int]) -> None:
        """Write what Ray's node waits for: its agents would say so too, but on a busy machine after it has given up."""
        before = self.session.resolve() if not self.nodes else None
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s and (not self.session.exists() or self.session.resolve() == before):
            time.sleep(0.05)
        for file, name in _FILES.items():
            with contextlib.suppress(OSError):
                (self.session / f"{file}_port_{node_id}").write_text(str(ports[name] if self._has_dashboard else -1))

    def add(self, *, cpus: int = 1, **variables: str) -> Node:
        """Add a node; it needs seconds to join."""
        machine = self.networks.add()

        def start() -> subprocess.Popen[bytes]:
            flags = (f"--address={self.address}", machine.address, f"--num-cpus={cpus}")
            return self._start(machine.command(), *flags, "--include-log-monitor=false", **variables)

        self.nodes.append(node := Node(machine, start))
        return node

    def wait(self, count: int) -> None:
        """Wait until so many nodes have joined, the head included."""
        deadline_s = time.monotonic() + _START_S
        while self.joined < count:
            assert time.monotonic() < deadline_s, (self.folder / "ray.log").read_text()[-3000:]
            for node in self.nodes:
                node.look()
            if self.head.poll() is not None:
                self.head = self._start([], *self._head_flags)
            time.sleep(0.5)

    @property
    def joined(self) -> int:
        """How many nodes are alive, the head included."""
        from ray._raylet import GcsClient

        with contextlib.suppress(Exception):
            nodes = GcsClient(address=self.address).get_all_node_info()
            return sum(1 for each in nodes.values() if each.state == 0)
        return 0

    def close(self) -> None:
        """End the cluster."""
        for node in self.nodes:
            node.kill()
        _kill_what_uses(self.folder)
        self.head.kill()
        self.head.wait()
        self._log.close()


def _kill_what_uses(folder: Path) -> None:
    """Kill the processes that were started for the cluster in a folder: all of them name it."""
    for each in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            is_ours = each.name.isdigit() and int(each.name) != os.getpid()
            if is_ours and f"{folder}/".encode() in (each / "cmdline").read_bytes():
                os.kill(int(each.name), 9)


@contextlib.contextmanager
def nodes_of(
    count: int,
    *,
    python: str = sys.executable,
    health: dict[str, int] = HEALTH,
    has_dashboard: bool = False,
    head_cpus: int = 0,
    cpus: int = 1,
    **variables: str,
) -> Iterator[Nodes]:
    """Run a cluster of so many nodes, and a head; that has no room for workers unless it is given processors."""
    # A short path: Ray's sockets are in it, whose names have at most 107 characters.
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        networks() as made,
        contextlib.closing(
            Nodes(made, Path(folder), python=python, health=health, has_dashboard=has_dashboard, head_cpus=head_cpus)
        ) as cluster,
    ):
        cluster.wait(1)
        for number in range(count):
            cluster.add(cpus=cpus, **variables)
            cluster.wait(number + 2)
        yield cluster
