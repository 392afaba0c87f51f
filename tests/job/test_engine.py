"""`[engine]`: the address of a cluster, and a job file of a cluster that runs without it."""

from pathlib import Path

import pytest

from batchrun.errors import JobError
from batchrun.job.engine import Engine, host_and_port
from batchrun.job.file import load_job
from batchrun.job.names import Overrides
from batchrun.job.settings import SettingError

FILE = """
[input]
path = "p.jsonl"
[model]
name = "m"
[endpoint]
base_url = "http://localhost:1/v1"
[engine]
kind = "{kind}"
address = "10.0.0.1:6379"
workers = 8
connections_per_worker = 50
"""


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.0.1:6379", ("10.0.0.1", 6379)),
        ("head-svc.ray.svc:6379", ("head-svc.ray.svc", 6379)),
        ("[::1]:6379", ("::1", 6379)),
        ("auto", None),
        ("local", None),
    ],
)
def test_an_address_is_host_and_port(address: str, place: tuple[str, int] | None) -> None:
    """Or one of Ray's two words, for what it finds by itself."""
    assert host_and_port(address) == place
    assert Engine(kind="ray", address=address).address == address


@pytest.mark.parametrize("processors", [0, 0.0001, 0.25, 1.5, 64])
def test_a_worker_may_need_a_part_of_a_processor(processors: float) -> None:
    """Or none."""
    assert Engine(kind="ray", cpus_per_worker=processors).cpus_per_worker == processors


def test_a_part_of_a_processor_that_ray_does_not_know_is_refused() -> None:
    """Ray would raise when the first worker starts."""
    with pytest.raises(SettingError, match=r"must be 0, or at least 0\.0001"):
        Engine(kind="ray", cpus_per_worker=0.00001)


@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.1:8265",
        "garbage",
        "127.0.0.1",
        "127.0.0.1:",
        ":6379",
        "host:0",
        "host:65536",
        "::1:6379",
        "a b:1",
    ],
)
def test_other_addresses_are_refused_with_the_form(address: str) -> None:
    """Before Ray is imported."""
    with pytest.raises(SettingError, match=r"must be HOST:PORT of the head node, such as 10\.0\.0\.1:6379"):
        Engine(kind="ray", address=address)


def test_the_address_of_rays_client_is_refused_with_where_to_run() -> None:
    """The driver must be on a node."""
    with pytest.raises(SettingError, match="must be HOST:PORT of the head node; run the command on a machine of the"):
        Engine(kind="ray", address="ray://head:10001")


def loaded(folder: Path, kind: str, overrides: Overrides) -> Engine:
    """Return the engine of the job file."""
    path = folder / "job.toml"
    path.write_text(FILE.format(kind=kind))
    return load_job(path, overrides).engine


def test_a_job_file_of_a_cluster_runs_here_by_one_flag(tmp_path: Path) -> None:
    """What its table says of the cluster is not used."""
    engine = loaded(tmp_path, "ray", {("engine", "kind"): ("--engine", "local")})
    assert engine == Engine(kind="local", connections_per_worker=50)


def test_an_address_without_a_cluster_is_refused(tmp_path: Path) -> None:
    """In the file, and as a flag."""
    with pytest.raises(JobError, match=r'job.toml: engine.address = "10.0.0.1:6379"; needs kind = "ray"'):
        loaded(tmp_path, "local", {})
    flags: Overrides = {("engine", "kind"): ("--engine", "local"), ("engine", "workers"): ("--workers", 2)}
    with pytest.raises(JobError, match=r'--workers = 2; needs kind = "ray" \(--engine ray\)'):
        loaded(tmp_path, "ray", flags)
