"""Runs by batches at a simulator: what they ask, and the books of the provider."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.finished import Finished

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
MANY = [f"Weng earns ${number} an hour. How much in a day?" for number in range(40)]
BY_BATCH = ("in.jsonl", "--via", "batch")

Interrupted = Callable[[], Finished]
"""Runs by batches, and presses Ctrl-C when the first line is answered."""


def service(endpoint: Any) -> Any:
    """Return the files and batches of an endpoint."""
    return endpoint._simulator._batches


def books(endpoint: Any) -> Any:
    """Return what an endpoint has created and answered."""
    return service(endpoint).books


def created(endpoint: Any) -> list[Any]:
    """Return the batches of an endpoint, the first one first."""
    return list(service(endpoint)._batches.values())


def files(endpoint: Any, purpose: str = "batch") -> list[Any]:
    """Return the files of an endpoint that have a purpose: by default those that were uploaded."""
    return list(service(endpoint)._files.all(purpose))


def state(folder: str = "out") -> Any:
    """Return the content of run.json."""
    return json.loads(Path(folder, "run.json").read_text())


def asked_at(endpoint: Any, folder: str = "out") -> tuple[str, ...]:
    """Return the flags that the fixture `run` adds, for commands that it does not start."""
    return ("-m", MODEL, "--base-url", endpoint.base_url, "-o", folder)


def lose_checkpoint() -> None:
    """Delete the checkpoint and its logs."""
    for path in Path("out").glob("checkpoint.sqlite*"):
        path.unlink()


def assert_bought_once(endpoint: Any, ways: int = 1) -> None:
    """Each text was answered once in each of these ways of asking it."""
    assert set(endpoint.stats.answered_by_request.values()) == {ways}
