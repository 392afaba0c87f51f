"""An endpoint that answers immediately, and a folder to run in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.ledger import Ledger, serving

from batchrun.simulator import Settings


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[str, Ledger]]:
    """The base URL, and what it has answered."""
    with serving(Settings(latency_s=0.0, models=("m",))) as (url, ledger):
        yield url, ledger


@pytest.fixture
def base_url(endpoint: tuple[str, Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The base URL, for a test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return endpoint[0]


@pytest.fixture
def ledger(endpoint: tuple[str, Ledger]) -> Ledger:
    """What the endpoint has answered, from now on."""
    endpoint[1].bought.clear()
    return endpoint[1]
