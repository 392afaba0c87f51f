"""An endpoint that has never replied, through the real pool on the virtual clock: it is starting, or elsewhere."""

import pytest
from harness.endpoints import Endpoint, refusal
from harness.runs import send_all

from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Fault, Reply

REFUSED = Fault("connection", "no connection: refused", 0.001, was_sent=False)


def slots(now_s: float) -> int:
    return 50


NO_REPLY = {
    "refused": REFUSED,
    "reset": Fault("connection", "cut", 0.2),
    "dns": Fault("connection", "the host's name cannot be looked up", 0.01, was_sent=False),
    "silence": Fault("timeout", "no answer in time", 5.0),
}


@pytest.mark.parametrize("kind", NO_REPLY)
@pytest.mark.parametrize("rows", [1, 3, 2_000])
def test_an_endpoint_that_has_never_replied_is_waited_for_for_a_minute(kind: str, rows: int) -> None:
    """It is rarely an outage: the URL is wrong. No row fails."""
    why = NO_REPLY[kind]
    run = send_all(Endpoint(slots, trouble=lambda now_s, body: why), rows, place="http://host:1/v1")
    assert run.outcomes == []
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("unheard", 4)
    assert run.stop.message == f"nothing has answered yet at http://host:1/v1: {why.message}; check the base URL"
    assert 60 < run.ended_s < 75


@pytest.mark.parametrize("rows", [1, 10, 2_000])
def test_the_time_that_requests_take_to_time_out_is_part_of_the_patience(rows: int) -> None:
    """A single row must fail twice before it shows something of the endpoint; many show it together."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: NO_REPLY["silence"])
    run = send_all(endpoint, rows, policy=Policy(unheard_s=4.0, patience_s=4.0))
    assert run.stop is not None
    assert run.stop.kind == "unheard"
    assert run.ended_s < (6.0 if rows > 8 else 11.0)


def test_time_for_which_the_machine_stood_still_is_not_part_of_a_silence() -> None:
    """All in flight fail after it, as old as the stop was long; the next request is answered."""
    stood_still = Fault("connection", "cut", 50_000.0)

    def trouble(now_s: float, body: bytes) -> Fault | None:
        return stood_still if now_s < 50_000 else None

    run = send_all(Endpoint(slots, trouble=trouble), 500, policy=Policy(timeout_s=600.0), is_heard=True)
    assert run.stop is None
    assert len(run.outcomes) == 500


@pytest.mark.parametrize("kind", NO_REPLY)
@pytest.mark.parametrize("patience", [Policy(unheard_s=600.0), Policy()])
def test_a_server_that_starts_late_is_used_if_it_was_waited_for_or_has_replied_before(
    kind: str, patience: Policy
) -> None:
    """By the user's patience, or in an earlier execution."""
    why = NO_REPLY[kind]
    endpoint = Endpoint(slots, trouble=lambda now_s, body: why if now_s < 300 else None)
    run = send_all(endpoint, 500, policy=patience, is_heard=patience.unheard_s < 300)
    assert run.stop is None
    assert sorted(outcome.row for outcome in run.outcomes) == list(range(500))


@pytest.mark.parametrize("reply", [refusal(503, "loading"), refusal(500), refusal(429, "slow down"), refusal(408)])
def test_whatever_status_a_server_replies_with_its_url_is_right(reply: Reply) -> None:
    """It is waited for as in any outage."""
    replied: list[float] = []

    def trouble(now_s: float, body: bytes) -> Reply | Fault | None:
        if not replied:
            replied.append(now_s)
            return reply
        return REFUSED if now_s < 600 else None

    run = send_all(Endpoint(slots, trouble=trouble), 500)
    assert run.stop is None
    assert len(run.outcomes) == 500
