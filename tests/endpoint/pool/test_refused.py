"""Who pays for refusals, through the real pool on the virtual clock, with books of what was sent."""

import random
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest
from harness.endpoints import Endpoint, refusal
from harness.runs import CANARY, Run, requests, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Attempted, Fault, Paused, Reply, Request

Result = Reply | Fault
MAX_ATTEMPTS = Policy().max_attempts
BLOCKED = refusal(403, "blocked by policy")
NO_CREDIT = refusal(402, "This prompt costs more than what is left of your credit")
VAGUE = refusal(400, "Bad Request")


class Books(NamedTuple):
    """A run, and how often each body was sent."""

    run: Run
    sent: Counter[bytes]

    def of(self, row: int) -> int:
        """Return how often a row was sent."""
        return self.sent[b"row-%d" % row]

    @property
    def failed(self) -> set[int]:
        """The rows that failed."""
        return {outcome.row for outcome in self.run.failed}


def booked(
    refuse: Callable[[float, int | None], Result | None], rows: int, *, limit: Limit | None = None, slots: int = 50
) -> Books:
    """Send rows; `refuse` returns what the server says at a time to a row, or to a canary (None); None: an answer.

    The events and outcomes state every attempt.
    """
    sent: Counter[bytes] = Counter()

    def trouble(now_s: float, body: bytes) -> Result | None:
        sent[body] += 1
        return refuse(now_s, None if body == CANARY else int(body[4:]))

    run = send_all(Endpoint(lambda now_s: slots, trouble=trouble), rows, limit=limit or Limit(slots))
    outside = sum(event.attempts for event in run.events if isinstance(event, Attempted))
    assert outside + sum(outcome.attempts for outcome in run.outcomes) == sent.total()
    return Books(run, sent)


@pytest.mark.parametrize("slots", [1, 8, 200])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_refusal_of_all_rows_that_spares_canaries_stops_the_run_and_fails_no_row(slots: int, is_known: bool) -> None:
    """A key that may not do what the rows ask for: each row is sent once, until those are many."""
    limit = Limit(slots, start=slots, known=True) if is_known else Limit(slots)
    books = booked(lambda now_s, row: None if row is None else BLOCKED, 2_000, limit=limit, slots=slots)
    assert books.run.stop is not None
    assert (books.run.stop.kind, books.run.stop.exit_code) == ("forbidden", 4)
    assert "a small test request is answered" in books.run.stop.message
    assert not books.run.outcomes
    assert books.sent.total() <= 60 + slots
    assert max(books.of(row) for row in range(2_000)) == 1


@pytest.mark.parametrize("rows", [1_200, 2_000])
def test_credit_that_ends_by_degrees_stops_the_run_and_fails_no_row(rows: int) -> None:
    """What is left pays for a canary and for no row: exit code 5, and few are sent in vain."""
    books = booked(lambda now_s, row: NO_CREDIT if row is not None and now_s > 10 else None, rows)
    assert books.run.stop is not None
    assert (books.run.stop.kind, books.run.stop.exit_code) == ("quota_exhausted", 5)
    assert not books.run.failed
    assert len(books.run.outcomes) > 500
    assert books.sent.total() - len(books.run.outcomes) <= 70


def test_credit_that_ends_when_all_rows_are_in_flight_stops_the_run() -> None:
    """No row is left that could be asked."""
    limit = Limit(100, start=100, known=True)
    books = booked(lambda now_s, row: None if row is None else NO_CREDIT, 100, limit=limit, slots=100)
    assert books.run.stop is not None
    assert books.run.stop.exit_code == 5
    assert not books.run.outcomes
    assert books.sent.total() <= 102


@pytest.mark.parametrize("slots", [1, 8, 200])
@pytest.mark.parametrize("end", [1_000, 2_000])
def test_a_firewall_that_refuses_a_stretch_of_rows_fails_these_and_holds_nothing_up(slots: int, end: int) -> None:
    """Rows from behind the stretch are answered: so its rows are at fault, and each fails after its attempts."""
    stretch = range(500, end)
    books = booked(lambda now_s, row: BLOCKED if row in stretch else None, end + 500, slots=slots)
    assert books.run.stop is None
    assert books.failed == set(stretch)
    assert len(books.run.outcomes) == end + 500
    assert {books.of(row) for row in stretch} == {MAX_ATTEMPTS}
    assert {books.of(row) for row in range(500)} == {1}
    assert books.sent[CANARY] <= 40


@pytest.mark.parametrize("slots", [4, 50, 400])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.6, 0.9])
def test_any_share_of_refused_rows_fails_after_its_attempts(share: float, slots: int) -> None:
    """However many: they do not make failures cheaper, and others are answered between."""
    chance = random.Random(5)
    bad = {row for row in range(1_000) if chance.random() < share}
    limit = Limit(slots, start=slots, known=True)
    books = booked(lambda now_s, row: BLOCKED if row in bad else None, 1_000, limit=limit, slots=slots)
    assert books.run.stop is None
    assert books.failed == bad
    assert {books.of(row) for row in bad} == {MAX_ATTEMPTS}
    assert {books.of(row) for row in range(1_000) if row not in bad} <= {1, 2}
    again = books.sent.total() - books.sent[CANARY] - 1_000 - len(bad) * (MAX_ATTEMPTS - 1)
    assert again <= 1, "only once, at the end, no fresh row is left to ask, and an answered one is asked again"
    assert books.sent[CANARY] <= 30


def test_refusals_make_other_failures_no_cheaper() -> None:
    """Half of the rows are refused, which is not chance: a row that breaks the server still fails after five."""
    broken = range(7, 2_000, 100)

    def refuse(now_s: float, row: int | None) -> Result | None:
        if row in broken:
            return refusal(500, "assertion failed")
        return BLOCKED if row is not None and row % 2 == 0 else None

    books = booked(refuse, 2_000)
    assert books.run.stop is None
    assert {books.of(row) for row in broken} == {MAX_ATTEMPTS}


def test_a_few_refused_rows_at_the_end_fail() -> None:
    """Nothing else is left to send. A canary is answered, and the rows were answered before them."""
    books = booked(lambda now_s, row: BLOCKED if row is not None and row >= 480 else None, 500)
    assert books.run.stop is None
    assert books.failed == set(range(480, 500))
    assert {books.of(row) for row in range(480, 500)} == {MAX_ATTEMPTS}


@pytest.mark.parametrize("slots", [1, 2, 50])
@pytest.mark.parametrize("bad", [range(4), range(7, 400, 20), range(100, 160)])
def test_a_server_that_refuses_canaries_as_it_refuses_some_rows_does_not_stop_the_run(slots: int, bad: range) -> None:
    """It takes no request so short, whatever the words: a fresh row is answered, and canaries are believed no more."""
    books = booked(lambda now_s, row: VAGUE if row is None or row in bad else None, 400, slots=slots)
    assert books.run.stop is None
    assert books.failed == set(bad)
    assert len(books.run.outcomes) == 400
    assert books.sent[CANARY] <= 21


@pytest.mark.parametrize("slots", [1, 50])
@pytest.mark.parametrize("bad", [range(95, 100), range(40, 100)])
@pytest.mark.parametrize(("refused", "most_repeats"), [(VAGUE, 3), (BLOCKED, 9)])
def test_rows_at_the_end_fail_where_a_row_that_was_answered_is_answered_once_more(
    bad: range, slots: int, refused: Result, most_repeats: int
) -> None:
    """Canaries and all rows that are left are refused: only a row that is known to be sound can show it."""
    books = booked(lambda now_s, row: refused if row is None or row in bad else None, 100, slots=slots)
    assert books.run.stop is None
    assert books.failed == set(bad)
    assert len(books.run.outcomes) == 100
    assert bad.start < sum(books.of(row) for row in range(bad.start)) <= bad.start + most_repeats
    assert max(books.of(row) for row in bad) <= MAX_ATTEMPTS


@pytest.mark.parametrize("canary", [None, NO_CREDIT])
@pytest.mark.parametrize("slots", [1, 50])
def test_before_a_run_stops_an_answered_row_is_refused_too_and_nothing_is_bought_twice(
    canary: Result | None, slots: int
) -> None:
    """The credit ends. Refusals cost nothing."""
    left = [100]

    def refuse(now_s: float, row: int | None) -> Result | None:
        left[0] -= row is not None
        return None if left[0] >= 0 else NO_CREDIT if row is not None else canary

    books = booked(refuse, 200, slots=slots)
    assert books.run.stop is not None
    assert books.run.stop.exit_code == 5
    assert not books.run.failed
    assert len(books.run.outcomes) == 100
    assert max(books.of(outcome.row) for outcome in books.run.outcomes) >= 2
    assert ("a small test request is answered" in books.run.stop.message) == (canary is None)


@pytest.mark.parametrize("is_known", [False, True])
def test_rows_that_an_earlier_execution_left_fail_if_a_row_that_was_answered_then_is_answered_now(
    is_known: bool,
) -> None:
    """Without such a row nothing can show whose the refusals are, and the run stops again."""
    answered = Request(9, "m", 0, b"", b"answered before", None)
    endpoint = Endpoint(lambda now_s: 50, trouble=lambda now_s, body: None if body == answered.body else VAGUE)
    run = send_all(endpoint, 5, answered=["m"], answered_before=lambda model: answered if is_known else None)
    assert (run.stop is None) == is_known
    assert [outcome.kind for outcome in run.failed] == ["bad_request"] * 5 * is_known


def test_an_answered_row_that_meets_an_outage_when_it_is_asked_once_more_shows_nothing() -> None:
    """It is asked again when the endpoint is back."""
    sent: set[int] = set()
    back_s: list[float] = []

    def refuse(now_s: float, row: int | None) -> Result | None:
        if row in sent and not back_s and row < 95:
            back_s.append(now_s + 60)
        sent.add(-1 if row is None else row)
        if back_s and now_s < back_s[0]:
            return refusal(503, "busy")
        return VAGUE if row is None or row >= 95 else None

    books = booked(refuse, 100)
    assert back_s
    assert books.run.stop is None
    assert books.failed == set(range(95, 100))
    assert len(books.run.outcomes) == 100


@pytest.mark.parametrize(("is_canary_refused", "others"), [(False, 0), (True, 40)])
def test_a_full_limit_forgives_no_refusal(is_canary_refused: bool, others: int) -> None:
    """A row of this or another model has the only slot when a canary or a fresh row asks: another asks later."""
    sent: Counter[bytes] = Counter()

    def trouble(now_s: float, body: bytes) -> Result | None:
        sent[body] += 1
        return BLOCKED if body == b"row-0" or (is_canary_refused and body == CANARY) else None

    server = Endpoint(lambda now_s: 1, trouble=trouble, latency=lambda chance, busy, now_s: 4.0)
    of_others = [Request(row, "n", 0, b"", b"row-%d" % row, None) for row in range(40, 40 + others)]
    run = send_all(server, [*requests(40), *of_others], limit=Limit(8, start=8))
    assert run.count(Paused) == 0
    assert [outcome.row for outcome in run.failed] == [0]
    assert sent[b"row-0"] == MAX_ATTEMPTS


def test_a_fresh_row_that_fails_in_another_way_shows_nothing() -> None:
    """The endpoint goes away after the canaries were refused. When it is back, rows are answered."""
    canaries = [0]

    def refuse(now_s: float, row: int | None) -> Result | None:
        canaries[0] += row is None
        if canaries[0] < 5 or (canaries[0] == 5 and row is None):
            return VAGUE if now_s > 2 else None
        return refusal(503, "busy") if now_s < 60 else None

    books = booked(refuse, 3_000)
    assert books.run.stop is None
    assert not books.run.failed
    assert len(books.run.outcomes) == 3_000


def _canary(model: str, *, is_bare: bool) -> Request:
    return Request(-1, model, 0, b"", b"bare" if is_bare else b"full", None)


@pytest.mark.parametrize("rows", [1, 3, 50, 2_000])
@pytest.mark.parametrize("status", [500, 501, 503])
def test_a_parameter_of_the_job_that_makes_the_server_fail_fails_no_row(rows: int, status: int) -> None:
    """As long as no row was ever answered, a canary has what the rows have: the run waits, as in an outage."""
    broken = refusal(status, "unsupported sampler")
    endpoint = Endpoint(lambda now_s: 50, trouble=lambda now_s, body: None if body == b"bare" else broken)
    run = send_all(endpoint, rows, canary=_canary, policy=Policy(patience_s=600.0))
    assert not run.outcomes
    assert run.stop is not None
    assert "unsupported sampler" in run.stop.message
    assert endpoint.received < 200


@pytest.mark.parametrize("answered", [(), ("m",)])
def test_a_model_that_has_answered_rows_is_asked_with_a_bare_canary_in_an_outage(answered: tuple[str, ...]) -> None:
    """Also if that was in an earlier execution: then the job is not at fault."""
    sent: set[bytes] = set()

    def trouble(now_s: float, body: bytes) -> Result | None:
        sent.add(body)
        is_away = now_s < 30 if answered else body != b"row-0" and now_s < 30
        return refusal(500, "assertion failed") if is_away else None

    run = send_all(Endpoint(lambda now_s: 50, trouble=trouble), 20, canary=_canary, answered=answered)
    assert not run.failed
    assert b"full" not in sent
    assert b"bare" in sent
