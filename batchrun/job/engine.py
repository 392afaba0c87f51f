"""`[engine]`: which processes and machines send the requests."""

import re
from dataclasses import dataclass
from typing import Any

from batchrun.job.settings import Section, SettingError, number, one_of, setting, text, whole

OF_RAY = ("address", "workers")
"""Settings that only a Ray cluster has."""

_CLIENT = "ray://"
_WORDS = ("auto", "local")
"""What Ray takes in the place of an address: the cluster that was started on this machine, or a new one."""


_LEAST_PROCESSORS = 0.0001
"""Source: Ray 2.60, which counts processors in parts of this size."""


def _processors(value: Any) -> float:
    processors: float = number(at_least=0)(value)
    if 0 < processors < _LEAST_PROCESSORS:
        raise ValueError(f"must be 0, or at least {_LEAST_PROCESSORS:g}")
    return processors


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine(Section):
    """`[engine]`: where requests are sent from: this process, or the workers of a Ray cluster."""

    kind: str = setting("local", "local, or ray to send from the machines of a Ray cluster", one_of("local", "ray"))
    address: str | None = setting(
        None,
        "HOST:PORT of the head of a Ray cluster, or auto: the one that was started on this machine",
        text,
        shown="RAY_ADDRESS, else a new cluster on this machine",
    )
    workers: int | None = setting(None, "number of workers", whole(1), shown="one on each node")
    connections_per_worker: int = setting(1000, "most requests that one worker has in flight", whole(1))
    cpus_per_worker: float = setting(1, "processors that Ray reserves for a worker", _processors)

    def __post_init__(self) -> None:
        super(Engine, self).__post_init__()
        if self.address is not None:
            try:
                host_and_port(self.address)
            except ValueError as problem:
                raise SettingError("address", self.address, str(problem)) from None
        stated = [name for name in OF_RAY if getattr(self, name) is not None]
        if self.kind != "ray" and stated:
            raise SettingError(stated[0], getattr(self, stated[0]), 'needs kind = "ray" (--engine ray)')


def host_and_port(address: str) -> tuple[str, int] | None:
    """Return where the head of a Ray cluster listens; None where Ray finds it by itself: `auto`, `local`.

    Args:
        address: HOST:PORT; a host that is an IPv6 address is in brackets.

    Raises:
        ValueError: it is something else; with what it must be.
    """
    if address in _WORDS:
        return None
    if address.startswith(_CLIENT):
        raise ValueError(
            "must be HOST:PORT of the head node; run the command on a machine of the cluster, such as the head"
        )
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@\[\]]+)):([0-9]{1,5})", address)
    if found is None or not 0 < int(found[3]) < 2**16:
        raise ValueError("must be HOST:PORT of the head node, such as 10.0.0.1:6379")
    return found[1] or found[2], int(found[3])
