"""Real Ray clusters whose nodes are network namespaces. These tests take long: `make test-ray` runs them, as root."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.ray_cluster import Run
from on_ray.networks import reason_not_to
from on_ray.nodes import Nodes, nodes_of

_SLOW_S = 2_400

# Ray would write a token into the home folder and read it from there, which is another one in each test.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

_USERS = ("API_KEY", "PROXY", "WANDB_", "OPENAI_", "NETRC", "_BATCHRUN", "XDG_", "RAY_")
"""Parts of the names of environment variables of the user that would change a test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the timeout of the tests in this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_SLOW_S))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in an empty folder, with an empty home, without variables of the user."""
    for name in os.environ:
        if any(part in name.upper() for part in _USERS) and not name.startswith(("BATCHRUN_", "RAY_AUTH_")):
            monkeypatch.delenv(name)
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture(autouse=True)
def no_run_left() -> Iterator[None]:
    """End the runs of a test that failed."""
    yield
    Run.end_all()


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """A cluster of three nodes, each of them a machine, and a head without room for workers."""
    if (reason := reason_not_to()) is not None:
        pytest.skip(reason)
    pytest.importorskip("ray", reason="Ray is not installed")
    with nodes_of(int(os.environ.get("BATCHRUN_RAY_NODES", "3"))) as cluster:
        yield cluster
