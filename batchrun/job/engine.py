"""`[engine]`: which processes and machines send the requests."""

from dataclasses import dataclass

from batchrun.job.settings import Section, SettingError, number, one_of, setting, text, whole

RAY_CLIENT = "ray://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine(Section):
    """`[engine]`: where requests are sent from: this process, or the workers of a Ray cluster."""

    kind: str = setting("local", "local, or ray to send from the machines of a Ray cluster", one_of("local", "ray"))
    address: str | None = setting(
        None, "HOST:PORT of the head of a Ray cluster", text, shown="RAY_ADDRESS, else a cluster on this machine"
    )
    workers: int | None = setting(None, "number of workers", whole(1), shown="one on each node")
    connections_per_worker: int = setting(1000, "most requests that one worker has in flight", whole(1))
    cpus_per_worker: float = setting(1, "processors that Ray reserves for a worker", number(at_least=0))

    def __post_init__(self) -> None:
        super(Engine, self).__post_init__()
        if self.address is not None and self.address.startswith(RAY_CLIENT):
            must = "must be HOST:PORT of the head node; run the command on a machine of the cluster, such as the head"
            raise SettingError("address", self.address, must)
        stated = [name for name in ("address", "workers") if getattr(self, name) is not None]
        if self.kind != "ray" and stated:
            raise SettingError(stated[0], getattr(self, stated[0]), 'needs kind = "ray"')
