"""A quick provider of batches, and a run that leaves one there."""

import os
import signal
from typing import Any

import pytest
from harness.by_batch import BY_BATCH, Interrupted, books
from harness.finished import Finished


@pytest.fixture(autouse=True)
def quick(endpoint: Any) -> None:
    """Have batches validated and collected at once."""
    endpoint.change(batch_validation_s=0.01)


@pytest.fixture
def interrupted(run: Any, endpoint: Any, when: Any) -> Interrupted:
    """Run by batches in this process, and press Ctrl-C when the first line is answered."""

    def interrupted() -> Finished:
        when(lambda: books(endpoint)["answered"] > 0, lambda: os.kill(os.getpid(), signal.SIGINT))
        finished: Finished = run(*BY_BATCH)
        assert finished.code == 130
        return finished

    return interrupted
