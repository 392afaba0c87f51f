"""What ended an execution."""

from pathlib import Path

import pytest

from batchrun.engine.cluster.silence import ClusterLost
from batchrun.engine.ending import ended_as, ended_by, with_drained
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
    (ClusterLost("m").stop, "stopped", "cluster_lost"),
]


@pytest.mark.parametrize(("reason", "state", "word"), ENDINGS)
def test_an_ending_has_a_state_and_a_cause(reason: Stop | None, state: str, word: str) -> None:
    assert (ended_as(reason), ended_by(reason)) == (state, word)


def test_the_page_has_every_word() -> None:
    """Scripts compare them. The words for executions that died are in `checkpoint.history`."""
    page = Path(__file__).parents[2].joinpath("docs", "overnight.md").read_text(encoding="utf-8")
    words = {word for _, _, word in ENDINGS} - {"interrupted"} | {"killed", "restarted", "died"}
    assert [word for word in words if f"`{word}`" not in page] == []


@pytest.mark.parametrize(
    ("drained", "kept"),
    [
        ((0, 0), "nothing was in flight"),
        ((5, 0), "the answers in flight were kept"),
        ((5, 2), "2 of 5 requests in flight got no answer"),
        ((1, 1), "1 of 1 request in flight got no answer"),
    ],
)
def test_the_message_of_an_interrupted_run_has_what_became_of_its_requests_in_flight(
    drained: tuple[int, int], kept: str
) -> None:
    """Only the drain shows it: a request may hang."""
    stop = Stop(kind="interrupted", message="Ctrl-C; run the same command again to resume", exit_code=130)
    found = with_drained(stop, drained)
    assert found is not None
    assert found.message == f"Ctrl-C: {kept}; run the same command again to resume"


def test_other_stops_keep_their_message() -> None:
    stop = Stop(kind="deadline", message="m; c", exit_code=5)
    assert with_drained(stop, (5, 2)) is stop


def test_a_run_by_batches_has_no_requests_in_flight_to_report() -> None:
    """Its message has the batches that go on."""
    stop = Stop(kind="interrupted", message="Ctrl-C; 1 batch goes on at the provider", exit_code=130)
    assert with_drained(stop, None) is stop
