"""Stores without a network: a folder as the bucket, and a local web server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.timers import ConditionTimers
from harness.web import Web, serving_files
from pyarrow import fs as arrow

from batchrun.storage import apart, objects


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that acts as the bucket `s3://bkt/`."""
    folder = tmp_path / "store" / "bkt"
    folder.mkdir(parents=True)
    system = arrow.SubTreeFileSystem(str(folder.parent), arrow.LocalFileSystem())
    monkeypatch.setattr(objects, "_system", lambda scheme, host, options: (system, host))
    return folder


TimeIsUp = Callable[[Callable[[], bool]], ConditionTimers]


@pytest.fixture
def time_is_up(monkeypatch: pytest.MonkeyPatch) -> TimeIsUp:
    """Have the patience with a process that is called end when a condition is true."""

    def time_is_up(condition: Callable[[], bool]) -> ConditionTimers:
        timers = ConditionTimers(condition)
        monkeypatch.setattr(apart, "Timer", timers.timer)
        return timers

    return time_is_up


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server at `web.url`."""
    with serving_files() as web:
        yield web
