"""Machines of a cluster: network namespaces of this machine, joined by a control network and a data network.

Each has its own addresses and its own loopback. The tests' own process is on both networks, at `.1`. Needs root.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

CONTROL, DATA = "control", "data"


def reason_not_to() -> str | None:
    """Return why there can be no namespaces here; None where there can."""
    if os.geteuid() or shutil.which("ip") is None:
        return "needs root and iproute2 for network namespaces"
    return None


class Machine:
    """One namespace."""

    def __init__(self, networks: "Networks", number: int) -> None:
        self.name, self._number = f"{networks.name}-{number}", number
        self.address = f"{networks.subnets[CONTROL]}.{number}"
        """On the control network."""
        self.data_address = f"{networks.subnets[DATA]}.{number}"
        _ip("netns", "add", self.name)
        for kind, subnet in networks.subnets.items():
            _ip("link", "add", self._port(kind), "type", "veth", "peer", "name", kind, "netns", self.name)
            _ip("link", "set", self._port(kind), "master", networks.bridge(kind), "up")
            _ip("-n", self.name, "address", "add", f"{subnet}.{number}/24", "dev", kind)
            _ip("-n", self.name, "link", "set", "dev", kind, "up")
        _ip("-n", self.name, "link", "set", "dev", "lo", "up")

    def _port(self, kind: str) -> str:
        return f"{self.name}{kind[0]}"

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs another one there."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def cut(self, kind: str) -> None:
        """Take it off a network: nothing arrives, and nobody gets an error."""
        _ip("link", "set", self._port(kind), "nomaster")

    def join(self, networks: "Networks", kind: str) -> None:
        """Put it back on a network."""
        _ip("link", "set", self._port(kind), "master", networks.bridge(kind))

    @property
    def processes(self) -> list[int]:
        """The ids of the processes there."""
        return [int(each) for each in _ip("netns", "pids", self.name).split()]

    def kill(self) -> None:
        """Kill everything there at once, as if its power were cut."""
        for pid in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        """Remove it."""
        self.kill()
        _ip("netns", "delete", self.name)


class Networks:
    """Both networks, and the machines on them. A process may have several such pairs at once."""

    _pairs = itertools.count()

    def __init__(self) -> None:
        pair = next(self._pairs)
        # The name of a network interface has at most 15 letters.
        self.name = f"br{os.getpid()}{chr(ord('a') + pair)}"
        own = 2 * ((os.getpid() + pair) % 120)
        self.subnets = {CONTROL: f"10.77.{own}", DATA: f"10.77.{own + 1}"}
        self._numbers = itertools.count(2)
        self._machines: list[Machine] = []

    @property
    def here(self) -> dict[str, str]:
        """The address of the tests' own process, by network."""
        return {kind: f"{subnet}.1" for kind, subnet in self.subnets.items()}

    def bridge(self, kind: str) -> str:
        """Return the name of a network's bridge."""
        return f"{self.name}-{kind[0]}"

    def add(self) -> Machine:
        """Add a machine."""
        self._machines.append(machine := Machine(self, next(self._numbers)))
        return machine

    def remove(self, machine: Machine) -> None:
        """Remove a machine."""
        self._machines.remove(machine)
        machine.remove()

    def close(self) -> None:
        """Remove all of it."""
        for machine in [*self._machines]:
            self.remove(machine)
        for kind in self.subnets:
            subprocess.run(["ip", "link", "delete", self.bridge(kind)], check=False)


@contextlib.contextmanager
def networks() -> Iterator[Networks]:
    """Make both networks, without machines."""
    made = Networks()
    try:
        for kind, address in made.here.items():
            _ip("link", "add", made.bridge(kind), "type", "bridge")
            _ip("address", "add", f"{address}/24", "dev", made.bridge(kind))
            _ip("link", "set", made.bridge(kind), "up")
        yield made
    finally:
        made.close()


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=30).stdout
