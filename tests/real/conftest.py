"""Real servers, installed and started for the test that asks for them, and batchrun in front of them.

A server that cannot be installed skips its tests, and says why; with `BATCHRUN_REAL_REQUIRED=1` it fails them.
`BATCHRUN_REAL_WITHOUT` names environments to do without.
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
"""Timeout of a test here: the first that needs an environment makes it, unless `make test-real` has."""

_USERS = (
    *("API_KEY", "PROXY", "WANDB_", "WEAVE_", "OPENAI_", "NETRC", "_BATCHRUN", "XDG_", "HF_"),
    *("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "CLOUD_STORAGE_", "GCE_METADATA_"),
)
"""What a variable of the user's own environment has in its name that would change a test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder their time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_SLOW_S))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test stands in an empty folder, has an empty home, and nothing of the user's."""
    for name in os.environ:
        if any(part in name.upper() for part in _USERS) and not name.startswith("BATCHRUN_"):
            monkeypatch.delenv(name)
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")


def _unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it where everything must be there."""
    if os.environ.get("BATCHRUN_REAL_REQUIRED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def installed() -> Callable[[str], Environment]:
    """Return the environment of a name, made if need be; skip where it cannot be."""
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
    """Return the path of a program of this machine's; skip where there is none."""

    def program(name: str, *, cure: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if path is None:
            _unavailable(f"there is no {name}; {cure}")
        return path

    return program


Batchrun = Callable[..., Finished]


@pytest.fixture
def batchrun(tmp_path: Path) -> Batchrun:
    """Run a command of this checkout's batchrun in a process of its own, as a user would."""

    def batchrun(*arguments: Any, python: str = sys.executable, timeout_s: float = 120, **variables: str) -> Finished:
        """Run it; `python` is the interpreter of an environment, `variables` are set beside the test's own."""
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
    """A simulator in a process of its own, behind a gateway."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.base_url = f"{url}/v1"

    def stats(self) -> dict[str, Any]:
        """Return what it has counted."""
        with urllib.request.urlopen(f"{self._url}/stats", timeout=30) as answer:
            return dict(json.load(answer))

    def has_billed(self, usage: dict[str, Any]) -> bool:
        """Return whether a model's totals are what was billed."""
        billed = self.stats()["billed_tokens"]
        return (usage["prompt_tokens"], usage["completion_tokens"]) == (billed["prompt"], billed["completion"])


Upstreams = Callable[..., AbstractContextManager[Upstream]]


@pytest.fixture
def upstream(tmp_path: Path) -> Upstreams:
    """Start a simulator with some flags; any key will do, and nothing is limited unless told."""

    @contextmanager
    def upstream(*flags: str, port: int | None = None) -> Iterator[Upstream]:
        def line(free: int) -> list[str]:
            simulate = [sys.executable, "-m", "batchrun", "simulate", "--concurrency-limit", "10000"]
            return [*simulate, "--port", str(free), *flags]

        with serving(line, up="/stats", folder=tmp_path, port=port, PYTHONPATH=str(ROOT)) as url:
            yield Upstream(url)

    return upstream
