"""How a cluster is joined, and how many workers it has room for, by what Ray says of its nodes. Ray is a stub here."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from batchrun.engine.ray import connection, head
from batchrun.engine.ray.connection import Connection, connected
from batchrun.engine.ray.lookout import Lookout
from batchrun.engine.ray.team import RayTeam
from batchrun.errors import JobError
from batchrun.job.engine import Engine
from batchrun.job.limits import Limits
from batchrun.job.sections import Input, Job

KNOCK = connection._knock


class Ray:
    """What is used of Ray to join a cluster; its head answers with `problem`."""

    def __init__(self, problem: str = "") -> None:
        self.problem, self.joined = problem, list[str]()
        self.token: str | None = None
        self.known: list[Any] = []
        self.free: dict[str, float] = {}

    def nodes(self) -> list[Any]:
        return self.known

    def available_resources(self) -> dict[str, float]:
        return self.free

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0}

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "n")

    def is_initialized(self) -> bool:
        return False

    def started_here(self) -> str | None:
        return None

    def knock(self, address: str) -> None:
        if self.problem:
            raise ConnectionError(self.problem)

    def init(self, *, address: str, **_: Any) -> None:
        self.joined.append(address)
        self.token = os.environ.get("RAY_AUTH_TOKEN")

    def shutdown(self) -> None:
        pass


def cluster(*nodes: tuple[bool, dict[str, float]]) -> Connection:
    """Return the connection to a cluster of these nodes: whether each is alive, and what it has."""
    known = [{"Alive": is_alive, "Resources": resources, "NodeID": "n"} for is_alive, resources in nodes]
    return seen_as(known, {})


def seen_as(nodes: list[Any], free: dict[str, float]) -> Connection:
    """Return the connection to a cluster of which Ray says this."""
    stub = Ray()
    stub.known, stub.free = nodes, free
    return Connection(stub, Lookout(stub))


HEAD: tuple[bool, dict[str, float]] = True, {"memory": 1e9}
"""Ray leaves out what a node has nothing of."""

NODE, DEAD = (True, {"CPU": 4.0}), (False, {"CPU": 4.0})


@pytest.mark.parametrize(
    ("connection", "workers"),
    [
        pytest.param(cluster(HEAD, NODE, NODE), 2, id="a head without processors has none: it would never start"),
        pytest.param(cluster(HEAD, NODE, DEAD), 1, id="nor has a dead node"),
        pytest.param(cluster(NODE), 1, id="one machine"),
        pytest.param(cluster(HEAD), 1, id="one is waited for where no node has room yet"),
    ],
)
def test_each_node_with_room_has_a_worker(connection: Connection, workers: int) -> None:
    """Where the job does not say how many there should be."""
    assert team(connection).workers == workers


def test_a_node_with_fewer_processors_than_a_worker_needs_has_none() -> None:
    """Fractions count."""
    connection = cluster((True, {"CPU": 0.5}), (True, {"CPU": 2.0}))
    assert [team(connection, cpus_per_worker=cpus).workers for cpus in (0.5, 1, 2)] == [2, 1, 1]


def test_a_worker_that_needs_no_processor_is_on_every_node() -> None:
    """Also on the head."""
    assert team(cluster(HEAD, NODE), cpus_per_worker=0).workers == 2


@pytest.mark.parametrize(
    ("cpus", "free", "text"),
    [
        (1, {"CPU": 1.0}, "each needs 1 processor, and 1 of the 4 of the cluster is free, not counting"),
        (2, {}, "each needs 2 processors, and 0 of the 4 of the cluster are free, not counting"),
        (0, {}, ""),
    ],
)
def test_the_room_is_what_is_free_next_to_workers_that_are_starting(cpus: float, free: Any, text: str) -> None:
    """Ray counts a processor as taken as soon as it starts a worker's process, which may take long."""
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}, "NodeID": "n"}]
    assert seen_as(nodes, free).room(cpus) == (f"{text} those of workers that Ray is starting" if text else "")


def test_processors_that_no_node_has_are_named_with_the_cure() -> None:
    """Together they may have more than enough."""
    text = cluster(NODE, NODE).room(6)
    assert text == "each needs 6 processors, and no node has so many; lower engine.cpus_per_worker, or add such a node"


def test_several_nodes_on_a_machine_are_one_machine() -> None:
    """They share the server there. Those of other machines count, and those without room for a worker do not."""
    here, there = "10.0.0.1", "10.0.0.2"
    nodes = [(here, 4.0), (here, 4.0), (there, 4.0), ("10.0.0.3", 0.0)]
    known = [
        {"Alive": True, "Resources": {"CPU": cpus}, "NodeID": "n", "NodeManagerAddress": address}
        for address, cpus in nodes
    ]
    assert (seen_as(known, {}).machines_with(1), seen_as(known[:2], {}).machines_with(1)) == (2, 1)
    assert seen_as(known, {}).nodes_with(1) == 3


def test_nodes_that_join_later_get_no_worker_where_rates_are_split() -> None:
    """Each worker has a part of the rate: the sum would pass it."""
    stub = Ray()
    stub.known = [{"Alive": True, "Resources": {"CPU": 4.0}, "NodeID": "n"}] * 2
    lookout = Lookout(stub)
    made = team(Connection(stub, lookout))
    limits = Limits(requests_per_minute=600)
    assert made.share_rates(Job(input=Input(path=("a",)), limits=limits)).limits.requests_per_minute == 300
    stub.known = stub.known * 2
    lookout._look()
    assert made.workers == 2


@pytest.mark.parametrize(
    ("problem", "has_cure"),
    [
        (OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /scratch/a"), True),
        (OSError(30, "Read-only file system", "/scratch/ray"), True),
        (RuntimeError("no"), False),
    ],
)
def test_a_folder_that_ray_cannot_use_is_named_with_the_cure(problem: Exception, has_cure: bool, ray: Ray) -> None:
    """The temporary folder of a Slurm job often has a long name."""

    def init(**_: Any) -> None:
        raise problem

    ray.init = init  # type: ignore[method-assign]
    cure = "; set RAY_TMPDIR to a folder with a short name, such as /tmp"
    assert refusal("local") == f"a Ray cluster on this machine cannot be started: {problem}{cure if has_cure else ''}"


@pytest.mark.parametrize("version", ["2.1.0", None])
def test_a_cluster_with_another_version_is_refused_before_ray_tries_to_join_it(
    version: str | None, ray: Ray, listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray fails after 40 s between some versions, and does not say why."""
    raylet = pytest.importorskip("ray._raylet", reason="Ray is not installed")
    utils = pytest.importorskip("ray._private.utils")
    of_ray, of_python = utils.compute_version_info()
    known = {"ray_version": version or of_ray, "python_version": of_python}
    head = SimpleNamespace(internal_kv_get=lambda *_, **__: orjson.dumps(known))
    monkeypatch.setattr(raylet, "GcsClient", lambda *, address: head)
    monkeypatch.setattr(connection, "_knock", KNOCK)
    if version is None:
        joined(listening)
        assert ray.joined == [listening]
        return
    assert refusal(listening) == (
        f"engine.address: the cluster at {listening} has Ray 2.1.0 on Python {of_python}, and this machine "
        f"Ray {of_ray} on Python {of_python}; install the same versions here"
    )
    assert ray.joined == []


def test_the_job_may_say_how_many_workers_there_are() -> None:
    """Several on a node, for example."""
    assert team(cluster(NODE), workers=8).workers == 8


@pytest.mark.parametrize("joins", ["at once", "soon", "late"])
def test_a_cluster_that_is_still_being_joined_holds_up_a_run_that_ends_for_a_while_only(
    joins: str, ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left when it is joined: a local one would leave processes behind. No thread of it keeps the process.

    It prints what it waits for: after Ctrl-C the user would see nothing for seconds.
    """
    printed: list[str] = []
    may_join, begins, is_left = threading.Event(), threading.Event(), threading.Event()

    def init(**_: Any) -> None:
        begins.set()
        assert threading.current_thread().daemon
        assert may_join.wait(10)

    monkeypatch.setattr("batchrun.engine.ray.team._JOINING_S", 0.1 if joins == "late" else 10.0)
    ray.init, ray.shutdown = init, is_left.set  # type: ignore[method-assign]
    made = RayTeam(SimpleNamespace(engine=Engine(kind="ray", address="local")))  # type: ignore[arg-type]
    joining = threading.Thread(target=made.connect, args=(printed.append,))
    joining.start()
    assert begins.wait(10)
    if joins == "at once":
        may_join.set()
        joining.join(10)
    timer = threading.Timer(0.1, may_join.set)
    if joins == "soon":
        timer.start()
    made.close()
    assert is_left.is_set() == (joins != "late")
    waits = ["stopping: waiting for Ray to start, for at most 10 s; a second Ctrl-C stops at once"]
    assert printed[1:] == {"at once": [], "soon": waits, "late": [waits[0].replace("10 s", "0.1 s")]}[joins]
    may_join.set()
    assert is_left.wait(10)
    joining.join(10)
    timer.cancel()


def team(connection: Connection, **settings: Any) -> RayTeam:
    """Return the workers of a job with these settings of `[engine]`."""
    made = RayTeam(SimpleNamespace(engine=Engine(kind="ray", **settings)))  # type: ignore[arg-type]  # all that it reads
    made._connection = connection
    return made


@pytest.fixture(autouse=True)
def ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ray:
    """Return a stub in the place of Ray; the home folder is empty, and no variable of Ray's is set."""
    stub = Ray()
    monkeypatch.setattr(connection, "_imported", lambda: stub)
    monkeypatch.setattr(connection, "_knock", stub.knock)
    monkeypatch.setattr(connection, "_started_here", lambda: stub.started_here())
    monkeypatch.setattr(connection, "_silent", contextlib.nullcontext)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # restored at the end, also where the code has set it
        monkeypatch.delenv(name)
    return stub


@contextlib.contextmanager
def replying(reply: bytes | None) -> Iterator[str]:
    """Yield an address where everybody is replied this; None: nothing, and they are kept waiting."""
    kept = []

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                kept.append(server.accept()[0])
                if reply is not None:
                    kept[-1].recv(100)
                    kept[-1].sendall(reply)
                    kept.pop().close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for each in kept:
        each.close()


@pytest.fixture
def listening() -> Iterator[str]:
    """Yield an address where something listens that speaks gRPC: its first frame has settings."""
    with replying(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))) as address:
        yield address


@pytest.fixture
def closed() -> str:
    """Return an address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def joined(address: str | None) -> list[str]:
    """Join a cluster; return what was printed."""
    printed: list[str] = []
    with connected(Engine(kind="ray", address=address), printed.append):
        return printed


def refusal(address: str | None) -> str:
    """Return the message for a cluster that cannot be joined."""
    with pytest.raises(JobError) as refused:
        joined(address)
    return str(refused.value)


def test_an_address_where_nothing_listens_is_refused_before_ray_tries_it(ray: Ray, closed: str) -> None:
    """Ray would try for minutes."""
    port = closed.rpartition(":")[2]
    cure = f"start one there with ray start --head --port {port}, or correct the address"
    assert refusal(closed) == f"engine.address: no Ray cluster at {closed} (Connection refused); {cure}"
    assert ray.joined == []


def test_a_head_that_accepts_no_connection_is_waited_for_for_a_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a host behind a firewall."""

    def waits(place: tuple[str, int], timeout: float) -> None:
        assert (place, timeout) == (("10.0.0.1", 6379), 5)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", waits)
    assert "no Ray cluster at 10.0.0.1:6379 (no reply within 5 s)" in refusal("10.0.0.1:6379")


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "it replies 'HTTP/1.1 400 Bad Request'"),
        (b"-ERR unknown command 'PRI'\r\n", "it replies \"-ERR unknown command 'PRI'\""),
        (b"SSH-2.0", "it replies 'SSH-2.0'"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "it does not speak gRPC"),
        (b"", "it does not speak gRPC"),
    ],
    ids=["the dashboard", "a Redis", "a few bytes", "a cluster with TLS", "hangs up"],
)
def test_a_port_of_something_else_is_refused_at_once(ray: Ray, reply: bytes, says: str) -> None:
    """Ray would try for most of a minute."""
    with replying(reply) as address:
        message = refusal(address)
    assert message.startswith(f"engine.address: what listens at {address} is not the head of a Ray cluster ({says}); ")
    assert "RAY_USE_TLS=1" in message
    assert ray.joined == []


def test_a_head_that_is_busy_or_uses_tls_is_left_to_ray(monkeypatch: pytest.MonkeyPatch, ray: Ray) -> None:
    """It may show what it is a little later, or says nothing to those who do not encrypt."""
    monkeypatch.setattr(head, "_REACH_S", 0.1)
    with replying(None) as address:
        joined(address)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with replying(b"") as address:
        joined(address)
    assert len(ray.joined) == 2


def test_a_refusal_names_the_variable_that_the_address_is_from(
    monkeypatch: pytest.MonkeyPatch, ray: Ray, closed: str
) -> None:
    """The flag, or the key of the job file, beats it."""
    monkeypatch.setenv("RAY_ADDRESS", closed)
    assert refusal(None).startswith(f"RAY_ADDRESS: no Ray cluster at {closed} (")
    monkeypatch.setenv("RAY_ADDRESS", "http://10.0.0.1:8265")
    cure = "must be HOST:PORT of the head node, such as 10.0.0.1:6379"
    assert refusal(None) == f'RAY_ADDRESS = "http://10.0.0.1:8265"; {cure}'
    assert refusal(closed).startswith("engine.address: ")
    assert ray.joined == []


def test_auto_is_the_cluster_that_was_started_here_and_is_checked_as_an_address_is(
    ray: Ray, listening: str, closed: str
) -> None:
    """A head that was killed leaves its address behind, and Ray would try that for minutes."""
    ray.started_here = lambda: listening  # type: ignore[method-assign]
    assert joined("auto") == [f"joining the Ray cluster at {listening} …"]
    assert ray.joined == [listening]
    ray.started_here = lambda: closed  # type: ignore[method-assign]
    assert refusal("auto").startswith(f"engine.address: no Ray cluster at {closed} (Connection refused); ")
    assert ray.joined == [listening]


def test_auto_without_a_cluster_on_this_machine_is_refused_with_the_cure(ray: Ray) -> None:
    """The message of Ray names a flag that batchrun does not have."""

    def nothing() -> str:
        raise ConnectionError("Could not find any running Ray instance. Please specify … by setting `--address` flag")

    ray.started_here = nothing  # type: ignore[method-assign]
    cure = "start one with ray start --head, or give HOST:PORT of a head"
    assert refusal("auto") == f'engine.address = "auto"; no Ray cluster runs on this machine; {cure}'


def test_the_variable_takes_the_place_of_auto_as_in_ray(
    monkeypatch: pytest.MonkeyPatch, ray: Ray, listening: str
) -> None:
    """A Ray user knows `auto` like this."""
    monkeypatch.setenv("RAY_ADDRESS", listening)
    joined("auto")
    assert ray.joined == [listening]
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert refusal("auto").startswith('RAY_ADDRESS = "ray://head:10001"; ')


def test_the_wait_for_ray_is_reported(ray: Ray, listening: str) -> None:
    """It takes seconds."""
    assert joined(listening) == [f"joining the Ray cluster at {listening} …"]
    assert joined(None) == ["starting Ray on this machine …"]
    assert joined("auto") == ["joining the Ray cluster of this machine …"]
    assert ray.joined == [listening, "local", "auto"]


@pytest.mark.parametrize(
    "reason",
    [
        "Token authentication is enabled but no authentication token was found. Ensure that …",
        "RPC error: InvalidAuthToken: Authentication token is missing or incorrect. Note: …\nand more lines",
    ],
)
def test_a_cluster_that_asks_for_a_token_differs_from_one_that_is_not_there(
    ray: Ray, listening: str, reason: str
) -> None:
    """With the cure, in one line."""
    ray.problem = reason
    message = refusal(listening)
    assert ray.joined == []
    assert message.startswith(
        f"engine.address: the Ray cluster at {listening} asks for its token; set RAY_AUTH_MODE=token"
    )
    assert "\n" not in message


def test_a_cluster_with_other_versions_is_not_one_that_is_missing(ray: Ray, listening: str) -> None:
    """Both are named, as Ray has them in a message of many lines."""
    ray.problem = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
        "This process on node 10.0.0.1 was started with:\n    Ray: 2.50.1\n    Python: 3.12.4\n"
    )
    assert refusal(listening) == (
        f"engine.address: the cluster at {listening} has Ray 2.60.0 on Python 3.11.7, and this machine Ray 2.50.1 on "
        "Python 3.12.4; install the same versions here"
    )


def test_a_local_run_leaves_no_token_in_the_home_folder(ray: Ray, tmp_path: Path) -> None:
    """Ray saves one where there is none, and every later cluster of the user would ask for it."""
    joined(None)
    assert len(ray.token or "") == 64
    del os.environ["RAY_AUTH_TOKEN"]
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("theirs")
    joined(None)
    assert ray.token is None, "Ray reads the file"


def test_a_cluster_that_is_joined_gets_no_token_of_ours(ray: Ray, listening: str) -> None:
    """It would not be its own."""
    joined(listening)
    assert ray.token is None
