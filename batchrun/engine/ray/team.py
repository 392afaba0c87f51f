"""The workers of one run on a Ray cluster: how many there are, what they are given, and who shares the limits."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from math import inf

from batchrun.endpoint.access import Access
from batchrun.endpoint.pool.limits import START
from batchrun.endpoint.pool.rules import Listeners
from batchrun.endpoint.pool.strides import Strides
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.cluster.endpoints import Endpoints
from batchrun.engine.cluster.keeper import Keeper
from batchrun.engine.cluster.post import Handle
from batchrun.engine.cluster.setup import Known, Setup, most_workers, split_rates
from batchrun.engine.cluster.silence import Silence
from batchrun.engine.cluster.till import Till
from batchrun.engine.links import Link, Links
from batchrun.engine.prepared import Prepared
from batchrun.engine.ray.connection import Connection, connected
from batchrun.engine.threads import OwnThread
from batchrun.errors import EndpointRefused, JobError
from batchrun.job.sections import Job

_JOINING_S = 15.0
"""How long a run that was interrupted waits for a cluster that is being started: it takes 3 to 12 s, and where it is
cut short, some of Ray's processes stay for minutes."""


class RayTeam:
    """The workers of one run."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._opened = contextlib.ExitStack()
        self._thread = OwnThread("batchrun-ray")  # Ray's own processes end with the thread that has started them
        self._joining: Future[Connection] | None = None
        self._say: Callable[[str], None] = lambda text: None
        self._most_workers: float = inf

    def connect(self, say: Callable[[str], None]) -> None:
        """Join the cluster of the job, or start one.

        Args:
            say: prints what is waited for.

        Raises:
            JobError: Ray is not installed, or the cluster cannot be joined.
        """
        self._say = say
        self._joining = self._thread.submit(lambda: self._opened.enter_context(connected(self._job.engine, say)))
        self._connection: Connection = self._joining.result()

    def close(self) -> None:
        """Leave the cluster; if it is still being joined, as soon as it is, which is waited for only for a while."""
        leaving = self._thread.submit(self._opened.close)
        self._thread.end()
        is_joined = self._joining is None or self._joining.done()
        if not is_joined:
            self._say(
                f"stopping: waiting for Ray to start, for at most {_JOINING_S:g} s; a second Ctrl-C stops at once"
            )
        with contextlib.suppress(TimeoutError):
            leaving.result(None if is_joined else _JOINING_S)

    @property
    def workers(self) -> int:
        """How many there should be now: as many as the job says, else one on each node."""
        engine = self._job.engine
        wanted = engine.workers or max(1, self._connection.nodes_with(engine.cpus_per_worker))
        return int(min(wanted, self._most_workers))

    def share_rates(self, job: Job) -> Job:
        """Return a job with one worker's part of its rates. There will be no more workers than these parts."""
        self._most_workers = most_workers(job, self.workers)
        return split_rates(job, self.workers)

    def driver(self, prepared: Prepared, links: Links, listeners: Listeners) -> Driver:
        """Return what stands in the place of a pool."""
        job = prepared.job
        if _is_simulated(prepared) and not self._connection.is_local:
            raise JobError(
                "--simulate answers on this machine, where other nodes cannot reach it; leave the address out"
            )
        most = job.engine.connections_per_worker
        own = frozenset() if _is_simulated(prepared) else _own_of_nodes(job)
        ceilings = {name: min(most, link.limit.ceiling) for name, link in links.links.items()}
        setup = Setup(
            job=self.share_rates(job),
            known={name: _known(link) for name, link in links.links.items()},
            ceilings=ceilings,
            uses_own_keys=not _is_simulated(prepared),
            own=own,
        )

        def accesses_of(lacking: Sequence[str], node: str) -> Mapping[str, Access]:
            return {name: self._handed_over(prepared, name, node) for name in lacking}

        def hire(_: int) -> Handle:
            from batchrun.engine.ray.handle import RayHandle

            return RayHandle(dataclasses.replace(setup), accesses_of, cpus=job.engine.cpus_per_worker)

        silence = Silence(asyncio.get_running_loop().time, lambda: self._connection.trouble)
        driver = Driver(
            hire,
            self._endpoints(links, own, ceilings),
            listeners,
            prepared.store,
            workers=lambda: self._heard_workers(silence, driver),
            till=None if prepared.budget is None else Till(prepared.budget),
            say=prepared.progress.say,
            room=lambda: self._connection.room(job.engine.cpus_per_worker),
        )
        driver.leases.fallbacks = job.fallbacks
        return driver

    def _heard_workers(self, silence: Silence, driver: Driver) -> int:
        """Return how many workers there should be; raise `ClusterLost` when the cluster is lost."""
        silence.check(post.heard_s for post in driver.posts.values())
        return self.workers

    def _endpoints(self, links: Links, own: Collection[str], ceilings: Mapping[str, int]) -> Endpoints:
        """Return the endpoints; `own`: those of which each node has its own."""

        def of_one_more_node(name: str) -> Keeper:
            strides = Strides(START)
            limit = links.links[name].new_limit(links.links[name].limit.ceiling, strides)
            return Keeper(limit, strides, ceilings[name])

        keepers = {}
        for name, link in links.links.items():
            assert link.strides is not None
            keepers[name] = Keeper(link.limit, link.strides, ceilings[name])
        return Endpoints(
            keepers,
            asyncio.get_running_loop().time,
            own={name: partial(of_one_more_node, name) for name in own},
            ceiling=self._job.limits.max_concurrency if own else links.ceiling,
            nodes=lambda: self._connection.machines_with(self._job.engine.cpus_per_worker),
        )

    def _handed_over(self, prepared: Prepared, name: str, node: str) -> Access:
        """Return the access to an endpoint with the key of this machine, for a node that does not have it.

        Raises:
            EndpointRefused: others could read the key on its way.
        """
        access, endpoint = prepared.access[name], prepared.job.endpoints[name]
        is_safe = self._connection.is_local or self._connection.is_encrypted or endpoint.allow_http
        if access.has_key and not is_safe:
            raise EndpointRefused(
                f"node {node} does not have the key, and it is not sent there, since the cluster is not encrypted; set "
                "its variable on every node, or RAY_USE_TLS=1, or send it anyway with --allow-http"
            )
        return access


def _is_simulated(prepared: Prepared) -> bool:
    return any(access.base_url != prepared.job.endpoints[name].base_url for name, access in prepared.access.items())


def _own_of_nodes(job: Job) -> frozenset[str]:
    """Return the endpoints of which each node has its own: a loopback address means the worker's own machine."""
    return frozenset(name for name, endpoint in job.endpoints.items() if endpoint.is_loopback)


def _known(link: Link) -> Known:
    contact = link.contact
    answered = {model: contact.answered_before(model) for model in contact.answered}
    return Known(contact.place, contact.is_heard, answered)
