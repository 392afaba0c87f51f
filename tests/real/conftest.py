"""Real servers, installed and started for the tests that use them, and batchrun as their client.

If a server cannot be installed, its tests are skipped with the reason; with `BATCHRUN_REAL_REQUIRED=1` they fail.
`BATCHRUN_REAL_WITHOUT` names environments to leave out.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from harness.finished import Finished
from real.environments import ROOT, CannotInstall, Environment, environment
from real.servers import serving

_SLOW_S = 1200
"""Timeout of a test here: the first one that needs an environment installs it, unless `make test-real` did."""

_USERS = (
    *("API_KEY", "PROXY", "WANDB_", "WEAVE_", "OPENAI_", "NETRC", "_BATCHRUN", "XDG_", "HF_"),
    *("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "CLOUD_STORAGE_", "GCE_METADATA_"),
)
"""Parts of the names of environment variables that would change a test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the timeout of the tests in this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_SLOW_S))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in an empty folder, with an empty home, without variables of the user."""
    for name in os.environ:
        if any(part in name.upper() for part in _USERS) and not name.startswith("BATCHRUN_"):
            monkeypatch.delenv(name)
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")


def _unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it if all servers are required."""
    if os.environ.get("BATCHRUN_REAL_REQUIRED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def installed() -> Callable[[str], Environment]:
    """Return the environment with this name, installed if necessary; skip the test if it cannot be installed."""
    made: dict[str, Environment | CannotInstall] = {}

    def installed(name: str) -> Environment:
        if name in os.environ.get("BATCHRUN_REAL_WITHOUT", "").split():
            pytest.skip(f"{name} is left out, as BATCHRUN_REAL_WITHOUT says")
        if name not in made:
            try:
                made[name] = environment(name)
            except CannotInstall as problem:
                made[name] = problem
        found = made[name]
        if isinstance(found, CannotInstall):
            _unavailable(f"cannot be installed: {found}")
        return found

    return installed


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Return the path of a program on this machine; skip the test if there is none."""

    def program(name: str, *, cure: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if path is None:
            _unavailable(f"there is no {name}; {cure}")
        return path

    return program


Batchrun = Callable[..., Finished]


@pytest.fixture
def batchrun(tmp_path: Path) -> Batchrun:
    """Run a command of this checkout's batchrun in its own process, as a user does."""

    def batchrun(*arguments: Any, python: str = sys.executable, timeout_s: float = 120, **variables: str) -> Finished:
        """Run it; `python` is the interpreter of an environment, `variables` are added to those of the test."""
        done = subprocess.run(
            [python, "-m", "batchrun", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return batchrun


class Upstream:
    """A simulator in its own process, behind a gateway."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.base_url = f"{url}/v1"

    def stats(self) -> dict[str, Any]:
        """Return its counts."""
        with urllib.request.urlopen(f"{self._url}/stats", timeout=30) as answer:
            return dict(json.load(answer))

    def has_billed(self, usage: dict[str, Any]) -> bool:
        """Return whether the totals of a model are what was billed."""
        billed = self.stats()["billed_tokens"]
        return (usage["prompt_tokens"], usage["completion_tokens"]) == (billed["prompt"], billed["completion"])


Upstreams = Callable[..., AbstractContextManager[Upstream]]


@pytest.fixture
def upstream(tmp_path: Path) -> Upstreams:
    """Start a simulator with some flags; by default it accepts every key and has no limits."""

    @contextmanager
    def upstream(*flags: str, port: int | None = None) -> Iterator[Upstream]:
        def line(free: int) -> list[str]:
            simulate = [sys.executable, "-m", "batchrun", "simulate", "--concurrency-limit", "10000"]
            return [*simulate, "--port", str(free), *flags]

        with serving(line, up="/stats", folder=tmp_path, port=port, PYTHONPATH=str(ROOT)) as url:
            yield Upstream(url)

    return upstream
