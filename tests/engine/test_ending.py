"""What ended an execution."""

from pathlib import Path

import pytest

from batchrun.engine.ending import ended_as, ended_by
from batchrun.records import Stop


def stop(kind: str, exit_code: int = 5, signal: str = "") -> Stop:
    return Stop(kind=kind, message="m", exit_code=exit_code, signal=signal)


ENDINGS = [
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
]


@pytest.mark.parametrize(("reason", "state", "word"), ENDINGS)
def test_an_ending_has_a_state_and_a_cause(reason: Stop | None, state: str, word: str) -> None:
    assert (ended_as(reason), ended_by(reason)) == (state, word)


def test_the_page_has_every_word() -> None:
    """Scripts compare them. The words for executions that died are in `checkpoint.history`."""
    page = Path(__file__).parents[2].joinpath("docs", "overnight.md").read_text(encoding="utf-8")
    words = {word for _, _, word in ENDINGS} - {"interrupted"} | {"killed", "restarted", "died"}
    assert [word for word in words if f"`{word}`" not in page] == []
