"""A simulated endpoint in its own thread, and the command line as its client."""

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.browser import Browser, chrome
from harness.engines import engine, skip_local_only, with_engine
from harness.finished import Finished
from harness.forks import start

from batchrun.cli.program import run as run_command_line
from batchrun.simulator import Settings, Simulator, serve

KEY = "sk-test"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"

PATIENCE_S = 50.0
"""Longest wait for what must happen: it ends a test that would hang, and says nothing about speed."""

_USERS = ("API_KEY", "PROXY", "WANDB_", "OPENAI_", "NETRC", "_BATCHRUN", "XDG_")
"""Parts of the names of environment variables of the user that would change a test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what makes no sense on the engine that the tests run on."""
    skip_local_only(items)


@pytest.fixture(scope="session", autouse=True)
def _engine() -> Iterator[None]:
    with engine():
        yield


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in an empty folder, with an empty home, a key, and no settings of the user."""
    for name in os.environ:
        if any(part in name.upper() for part in _USERS):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


class Endpoint:
    """A simulator that serves in another thread."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.base_url = simulator.base_url
        self.stats = simulator.stats

    def change(self, **settings: Any) -> None:
        """Change settings; they apply from the next request."""
        self._simulator.change(**settings)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true; a machine that is busy may need many seconds to start a process."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"never came about; {self.stats.totals()}"
            time.sleep(0.002)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An endpoint that answers immediately and has no limit; a test can change that."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready = threading.Event()
    served: list[Endpoint] = []

    async def main() -> None:
        async with serve(Settings(latency_s=0, concurrency_limit=None)) as simulator:
            served.append(Endpoint(simulator))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert ready.wait(PATIENCE_S)
    yield served[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


Batchrun = Callable[..., Finished]


@pytest.fixture
def batchrun(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Batchrun:
    """Run a command in this process."""

    def batchrun(*arguments: Any, stdin: bytes = b"") -> Finished:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = run_command_line(with_engine([str(each) for each in arguments]))
        return Finished(code, *capsys.readouterr())

    return batchrun


@pytest.fixture
def run(batchrun: Batchrun, endpoint: Endpoint) -> Batchrun:
    """Run `batchrun run` on the endpoint, into `out`."""

    def run(*arguments: Any, model: str | None = MODEL, stdin: bytes = b"") -> Finished:
        models = [] if model is None else ["-m", model]
        return batchrun("run", *arguments, *models, "--base-url", endpoint.base_url, "-o", "out", stdin=stdin)

    return run


Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a command in its own process."""
    processes: list[subprocess.Popen[str]] = []

    def spawn(*arguments: Any, **settings: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ}
        processes.append(process := start(with_engine([*map(str, arguments)]), **pipes | settings))
        return process

    yield spawn
    for process in processes:
        with process:
            process.kill()


@pytest.fixture
def when(endpoint: Endpoint) -> Iterator[Callable[[Callable[[], bool], Callable[[], None]], None]]:
    """Run an action in a thread when a condition is true, while a command runs in this process."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def when(condition: Callable[[], bool], do: Callable[[], None]) -> None:
        def wait_and_do() -> None:
            try:
                endpoint.wait(condition)
                do()
            except BaseException as error:  # noqa: BLE001  # raised again in the test's thread
                errors.append(error)

        threads.append(thread := threading.Thread(target=wait_and_do))
        thread.start()

    yield when
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.fixture(scope="package")
def _chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chrome(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def browser(_chrome: Any) -> Browser:
    """A browser that starts once for all tests."""
    made = Browser(_chrome)
    made.be_wide(0)
    return made
