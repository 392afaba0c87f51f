"""Whether a failure is the row's or the endpoint's."""

from typing import Any

import pytest

from batchrun.endpoint.pool.failures import Failure, Refusal
from batchrun.endpoint.pool.health import Health
from batchrun.endpoint.pool.pause import Pause
from batchrun.endpoint.pool.reason import Reason

COST = 10


class Story:
    """Reports to a health what happens, one event a second by default."""

    def __init__(self) -> None:
        self.health: Health[Any] = Health()
        self.now_s = 0.0
        self.present: Any = None

    def fails(
        self, row: Any, *, sent_s: float | None = None, in_flight: int = 5, probe: bool = False, cost: int = COST
    ) -> bool:
        self.now_s += 1
        sent_s = self.now_s if sent_s is None else sent_s
        failure = Failure("server_error", f"no {row}", cost, sent_s, self.now_s, in_flight, probe)
        if row == "canary":
            return self.health.canary_failed(failure)
        return self.health.failed(row, failure)

    def works(
        self, *, sent_s: float | None = None, canary: bool = False
    ) -> tuple[dict[Any, int], list[Any], Pause | None]:
        self.now_s += 1
        sent_s = self.now_s if sent_s is None else sent_s
        spent, forgiven, ended, self.present = self.health.succeeded(sent_s, self.now_s, is_canary=canary)
        return spent, forgiven, ended

    def refused(self, row: Any, words: str = "no such thing", *, answered: bool = True, cost: int = COST) -> None:
        self.now_s += 1
        failure = Failure("bad_request", words, cost, self.now_s, self.now_s, 5, was_probe=False)
        refusal = Refusal("bad_request", False, 400, Reason(words))
        self.health.refused(row, failure, refusal, is_answered=answered, is_first=True)

    def doubt(self) -> None:
        for row in range(8):
            self.fails(row)
        assert self.health.pause is not None
        assert not self.health.pause.is_outage


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_failure_is_the_rows_own_when_a_request_sent_after_it_succeeds(story: Story) -> None:
    """The first success of a request sent later makes the row pay, and only once."""
    story.fails("a")
    story.fails("b")
    assert story.works() == ({"a": COST, "b": COST}, [], None)
    assert story.works() == ({}, [], None)
    assert not story.health.is_troubled


def test_a_request_sent_before_a_failure_shows_nothing_about_it(story: Story) -> None:
    """An endpoint that has stopped working still finishes what it had begun."""
    story.fails("a")  # at 1 s
    story.fails("b")  # at 2 s
    assert story.works(sent_s=0.5) == ({}, [], None)
    assert story.works(sent_s=1.5) == ({"a": COST}, [], None)
    assert story.health.suspicion("b") == COST
    assert story.works(sent_s=2.5) == ({"b": COST}, [], None)


def test_failures_of_one_row_add_up_and_are_judged_by_a_success_after_the_last(story: Story) -> None:
    """A row that failed twice is judged at once for both."""
    story.fails("a")
    story.fails("a", cost=1)
    assert story.health.suspicion("a") == COST + 1
    assert story.works(sent_s=1.5) == ({}, [], None)
    assert story.works() == ({"a": COST + 1}, [], None)


MANY = [(8, 0, True), (7, 5, False), (8, 8, True), (8, 9, False), (50, 51, False), (51, 51, True)]


@pytest.mark.parametrize(("rows", "in_flight", "pauses"), MANY)
def test_many_failed_rows_in_a_row_pause_admission(story: Story, rows: int, in_flight: int, pauses: bool) -> None:
    """Eight, and as many as are in flight: the failures of a burst come back before its answers."""
    for row in range(rows):
        assert not story.fails(row, in_flight=in_flight)
    assert (story.health.pause is not None) == pauses


def test_a_success_between_failures_restarts_the_count(story: Story) -> None:
    """While others are answered, failures are not an outage, however many there are."""
    for row in range(200):
        story.fails(row)
        if row % 7 == 6:
            story.works(sent_s=0)
    assert story.health.pause is None


def test_one_row_that_fails_again_pauses_admission_only_when_nothing_else_is_in_flight(story: Story) -> None:
    """A bad row must not stop slow rows."""
    for _ in range(20):
        story.fails("a", in_flight=1)
    assert story.health.pause is None
    story.fails("b", in_flight=0)
    assert story.health.pause is None
    story.fails("b", in_flight=0)
    assert story.health.pause is not None


def test_a_pause_that_a_row_ends_makes_the_failed_rows_pay(story: Story) -> None:
    """Without an outage between, the failures were the rows' own."""
    story.doubt()
    spent, forgiven, ended = story.works()
    assert (len(spent), forgiven) == (8, [])
    assert ended is not None
    assert story.health.pause is None


def test_a_probe_that_fails_begins_an_outage_that_is_reported_once(story: Story) -> None:
    """The first failed probe begins it, further probes do not; a failure that is not a probe's proves nothing."""
    story.doubt()
    assert not story.fails("late")
    assert story.fails("probe", probe=True)
    assert not story.fails("another", probe=True)
    pause = story.health.pause
    assert pause is not None
    assert pause.is_outage
    assert (pause.message, pause.since_s, pause.began_s) == ("no another", 1.0, 8.0)


def test_an_outage_forgives_all_rows_that_failed_in_it(story: Story) -> None:
    """No row pays, not even a row that was sent before the end was seen and fails after it."""
    story.doubt()
    story.fails("probe", probe=True)
    spent, forgiven, ended = story.works()
    assert (spent, len(forgiven)) == ({}, 9)
    assert ended is not None
    assert ended.is_outage
    story.fails("late", sent_s=story.now_s - 0.5)
    assert story.health.suspicion("late") == 0
    story.fails("late", sent_s=story.now_s + 0.5)
    assert story.health.suspicion("late") == COST


def test_the_rows_in_flight_when_an_outage_began_are_named_apart_from_those_sent_in_it(story: Story) -> None:
    """And for how long each had been in flight. Without an outage there are none."""
    story.fails("short", sent_s=0.9)  # at 1 s
    story.fails("long", sent_s=0.0)
    for row in range(6):
        story.fails(row)
    story.fails("probe", probe=True)
    story.works()
    assert story.present == [("short", pytest.approx(0.1)), ("long", 1.0)]
    story.fails("later")
    story.works()
    assert story.present is None


def test_an_outage_does_not_end_with_an_answer_that_began_before_it(story: Story) -> None:
    """That answer judges no row either, and the count of failures continues."""
    story.doubt()
    story.fails("probe", probe=True)
    assert story.works(sent_s=7.9) == ({}, [], None)
    assert story.health.pause is not None
    assert len(story.health.suspects) == 9


def test_a_canary_convicts_if_no_canary_has_failed(story: Story) -> None:
    """Rows that failed as probes may be as bad as the others."""
    story.doubt()
    story.fails("probe", probe=True)
    spent, forgiven, _ = story.works(canary=True)
    assert (len(spent), forgiven) == (9, [])


def test_a_canary_that_failed_before_proves_an_outage(story: Story) -> None:
    """A canary has no fault of its own, so the rows are forgiven, whichever request ends the outage."""
    for canary in (True, False):
        story.doubt()
        assert story.fails("canary", probe=True)
        spent, forgiven, _ = story.works(canary=canary)
        assert (spent, len(forgiven)) == ({}, 8)


def test_rows_probe_until_seven_have_failed_then_a_canary_probes(story: Story) -> None:
    """A canary that fails restarts the count. After one that succeeds, the next row that succeeds forgives all."""
    story.doubt()
    for _ in range(2):
        for row in range(7):
            assert not story.health.wants_canary
            story.fails(100 + row, probe=True)
        assert story.health.wants_canary
        story.fails("canary", probe=True)
    for row in range(7):
        story.fails(100 + row, probe=True)
    assert story.works(canary=True)[:2] == ({}, [])
    assert story.health.pause is None
    assert len(story.health.suspects) == 15
    spent, forgiven, _ = story.works()
    assert (spent, len(forgiven)) == ({}, 15)


def test_probes_are_half_a_second_apart_at_first_and_later_a_share_of_the_outages_length(story: Story) -> None:
    """So its end is seen at most that share later, and at most thirty seconds later."""
    story.doubt()
    health = story.health
    for now_s, wait_s in ((8.0, 0.5), (9.0, 0.5), (17.0, 1.0), (65.0, 4.0), (481.0, 30.0), (40_000.0, 30.0)):
        health.probed(now_s)
        assert health.probe_at_s == pytest.approx(now_s + wait_s)
    assert story.works()[2] is not None
    health.probed(50_000.0)
    assert health.probe_at_s < 50_000.0


def test_after_three_rows_were_refused_alike_a_canary_asks(story: Story) -> None:
    """One row refused twice is one row. Before the first answer of a model one row is enough."""
    for row in ("a", "a", "b"):
        story.refused(row)
    assert story.health.pause is None
    story.refused("c")
    assert story.health.wants_canary
    fresh = Story()
    fresh.refused("a", answered=False)
    assert fresh.health.wants_canary


def test_refusals_with_successes_between_never_add_up(story: Story) -> None:
    """A firewall that blocks one prompt in a hundred does not stop a run; each success judges the rows before it."""
    for row in range(100):
        story.refused(row)
        story.refused(row + 0.5)
        assert story.works()[0] == {row: COST, row + 0.5: COST}
    assert story.health.pause is None


def test_an_answer_that_began_before_the_refusals_does_not_judge_them(story: Story) -> None:
    """The credit may have ended between the two."""
    for row in "ab":
        story.refused(row)
    assert story.works(sent_s=0.5)[0] == {}
    story.refused("c")
    assert story.health.wants_canary


def test_a_canary_that_is_answered_convicts_the_refused_rows_and_asks_later_next_time(story: Story) -> None:
    """Four times as many rows must be refused for it; for other reasons three are enough as before."""
    for row in "abc":
        story.refused(row)
    spent, forgiven, ended = story.works(canary=True)
    assert (spent, forgiven) == (dict.fromkeys("abc", COST), [])
    assert ended is not None
    for row in range(11):
        story.refused(row)
    assert story.health.pause is None
    for row in "xyz":
        story.refused(row, "quite another reason altogether")
    assert story.health.wants_canary


def test_canaries_that_are_refused_in_an_outage_ask_in_the_end_whether_all_is_refused(story: Story) -> None:
    """The key may have been revoked while the endpoint was away. A success between begins again."""
    refusal = Refusal("forbidden", True, 403, Reason("no"))
    for number in (1, 2, 3, 4, 5):
        if number == 3:
            story.works()
        if number in (1, 3):
            story.doubt()
        story.now_s += 1
        failure = Failure("forbidden", "no", COST, story.now_s, story.now_s, 0, was_probe=True)
        story.health.canary_refused(f"canary {number}", failure, refusal)
        assert story.health.pause is not None
        assert story.health.pause.asks == (number == 5)


def test_refused_rows_are_forgiven_when_a_canary_has_met_an_outage(story: Story) -> None:
    """Nothing shows whose the refusals were, so the rows are sent again."""
    for row in "abc":
        story.refused(row)
    assert story.fails("canary", probe=True)
    assert not story.health.wants_canary
    spent, forgiven, _ = story.works(canary=True)
    assert (spent, forgiven) == ({}, ["a", "b", "c"])
    assert "a" not in story.health.refusals


def test_a_failure_that_costs_nothing_is_never_paid(story: Story) -> None:
    """Throttled rows are suspects, but they have done nothing wrong."""
    story.fails("a", cost=0)
    assert story.works() == ({"a": 0}, [], None)


def test_a_pause_without_a_recent_failure_begins_now(story: Story) -> None:
    """Rows that were held back for long do not make a pause look old."""
    story.health.doubt("timeout", "silence", 500.0)
    assert story.health.pause == Pause(500.0, 500.0, "timeout", "silence")
    assert story.health.probe_at_s == 500.5
