"""What ended an execution."""

import pytest

from batchrun.engine.ending import ended_as, ended_by
from batchrun.records import Stop


def stop(kind: str, exit_code: int = 5, signal: str = "") -> Stop:
    return Stop(kind=kind, message="m", exit_code=exit_code, signal=signal)


@pytest.mark.parametrize(
    ("reason", "state", "word"),
    [
        (None, "completed", "done"),
        (stop("interrupted", 130, "SIGINT"), "interrupted", "SIGINT"),
        (stop("interrupted", 143, "SIGHUP"), "interrupted", "SIGHUP"),
        (stop("interrupted"), "interrupted", "interrupted"),
        (stop("deadline"), "stopped", "deadline"),
        (stop("cost_cap"), "stopped", "cost_cap"),
        (stop("token_cap"), "stopped", "token_cap"),
        (stop("failure", 3), "stopped", "directory"),
        (stop("failure", 2), "stopped", "error"),
        (stop("unauthorized", 4), "stopped", "refused"),
        (stop("unheard", 4), "stopped", "unheard"),
        (stop("bad_request", 4), "stopped", "refused"),
        (stop("quota_exhausted"), "stopped", "quota"),
        (stop("overloaded"), "stopped", "outage"),
    ],
)
def test_an_ending_has_a_state_and_a_cause(reason: Stop | None, state: str, word: str) -> None:
    assert (ended_as(reason), ended_by(reason)) == (state, word)
