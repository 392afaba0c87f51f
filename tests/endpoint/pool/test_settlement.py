"""What becomes of a request when an attempt has ended: through the real pool, on the virtual clock."""

from collections import Counter
from collections.abc import Callable

import pytest
from harness.endpoints import ANSWER, Endpoint, refusal
from harness.runs import CANARY, Run, requests, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Attempted, Fault, Outcome, Paused, Reply, Spent

Result = Reply | Fault


class Server:
    """Answers all rows except the odd ones; counts the requests."""

    def __init__(self, odd: dict[int, Callable[[int], Result | None]], limit: int = 20) -> None:
        self.sent: Counter[bytes] = Counter()
        self.times: dict[bytes, list[float]] = {}
        self._odd = {b"row-%d" % row: make for row, make in odd.items()}
        self.endpoint = Endpoint(lambda now_s: limit, trouble=self._trouble)

    def _trouble(self, now_s: float, body: bytes) -> Result | None:
        self.sent[body] += 1
        self.times.setdefault(body, []).append(now_s)
        make = self._odd.get(body)
        return make(self.sent[body]) if make else None

    def run(self, rows: int, **settings: object) -> Run:
        return send_all(self.endpoint, rows, **{"limit": Limit(1_000), **settings})  # type: ignore[arg-type]


def always(result: Result) -> Callable[[int], Result]:
    return lambda attempt: result


def first(result: Result, times: int = 1) -> Callable[[int], Result | None]:
    return lambda attempt: result if attempt <= times else None


def outcome_of(run: Run, row: int) -> Outcome:
    (outcome,) = [outcome for outcome in run.outcomes if outcome.row == row]
    return outcome


FAULTY = [
    ("server_error", refusal(500, "broken")),
    ("server_error", refusal(409, "broken")),
    ("bad_reply", Reply(200, {}, b"<html>", 0.01)),
    ("bad_reply", Fault("bad_reply", "the stream broke off", 0.4)),
    ("timeout", Fault("timeout", "no answer in time", 5.0)),
    ("timeout", refusal(408)),
    ("connection", Fault("connection", "cut", 0.2)),
    ("forbidden", refusal(403, "blocked")),
    ("unauthorized", refusal(401, "odd")),
    ("model_not_found", refusal(404, "odd")),
    ("quota_exhausted", refusal(402, "odd")),
]


@pytest.mark.parametrize(("kind", "result"), FAULTY)
@pytest.mark.parametrize("max_attempts", [1, 3])
def test_a_row_that_always_fails_is_sent_exactly_max_attempts_times(
    kind: str, result: Result, max_attempts: int
) -> None:
    """While others succeed, it ends as failed with the reason, after as many attempts as allowed, and delays no row."""
    server = Server({90: always(result)})
    run = server.run(500, policy=Policy(max_attempts=max_attempts))
    assert run.stop is None
    failed = outcome_of(run, 90)
    assert (failed.kind, failed.attempts, failed.throttled) == (kind, max_attempts, 0)
    assert failed.error
    assert server.sent[b"row-90"] == max_attempts
    assert len(run.outcomes) == 500
    assert len(run.failed) == 1
    others = [outcome for outcome in run.outcomes if outcome.row != 90]
    assert max(outcome.latency_s or 0 for outcome in others) < 3
    assert not any(isinstance(event, Paused) for event in run.events)


@pytest.mark.parametrize(("kind", "result"), FAULTY[:8])
@pytest.mark.parametrize(("bad", "canaries"), [(1, 5), (3, 5), (20, 25)])
@pytest.mark.parametrize("limit", [1, 5, 50])
def test_rows_that_always_fail_end_as_failed_even_when_they_are_the_last(
    kind: str, result: Result, bad: int, canaries: int, limit: int
) -> None:
    """With no other rows to compare them with, a few canaries convict them, and once a row that was answered before."""
    rows = 40
    server = Server({row: always(result) for row in range(rows - bad, rows)}, limit)
    run = server.run(rows, policy=Policy(max_attempts=3))
    assert run.stop is None
    assert len(run.outcomes) == rows
    assert [outcome.attempts for outcome in run.failed] == [3] * bad
    assert {outcome.kind for outcome in run.failed} == {kind}
    assert server.sent[CANARY] <= canaries
    asked = server.sent[CANARY] + (kind == "forbidden" and bad >= 3)
    assert [sum(isinstance(event, each) for event in run.events) for each in (Spent, Attempted)] == [asked, asked]


@pytest.mark.parametrize(("kind", "result"), FAULTY[:8])
@pytest.mark.parametrize("limit", [1, 5, 50])
def test_a_cluster_of_bad_rows_in_the_middle_is_passed(kind: str, result: Result, limit: int) -> None:
    """Twenty in a row look like an outage. They still fail, after few extra attempts, and no other row does."""
    rows = 20 * limit + 100
    server = Server({row: always(result) for row in range(40, 60)}, limit)
    run = server.run(rows, policy=Policy(max_attempts=3))
    assert run.stop is None
    assert len(run.outcomes) == rows
    assert {(outcome.row, outcome.kind) for outcome in run.failed} == {(row, kind) for row in range(40, 60)}
    assert all(3 <= outcome.attempts <= 9 for outcome in run.failed)
    assert server.sent[CANARY] <= 20


def test_a_run_in_which_every_row_fails_ends() -> None:
    """Canaries show that the endpoint works; no row waits for ever for another row to succeed."""
    server = Server({row: always(refusal(500)) for row in range(60)})
    run = server.run(60, policy=Policy(max_attempts=2))
    assert len(run.failed) == 60
    assert run.ended_s < 120


def test_a_long_stretch_of_bad_rows_does_not_stop_the_run_for_hours() -> None:
    """Two hundred rows in a row that always fail are passed in minutes; all others are answered."""
    server = Server({row: always(refusal(500)) for row in range(50, 250)})
    run = server.run(400)
    assert sorted(outcome.row for outcome in run.failed) == list(range(50, 250))
    assert run.ended_s < 300
    assert server.sent[CANARY] < 40


FINAL = [
    ("bad_request", refusal(400, "no")),
    ("bad_request", refusal(422, "no")),
    ("context_length", refusal(400, "maximum context length")),
    ("content_filter", refusal(400, "content policy")),
    ("too_large", refusal(413, "no")),
    ("too_large", Fault("too_large", "longer than 64 MiB", 0.1)),
]


@pytest.mark.parametrize(("kind", "result"), FINAL)
def test_what_the_table_calls_final_is_sent_once(kind: str, result: Result) -> None:
    """A row that the endpoint will never accept fails at once, and keeps the reply."""
    server = Server({3: always(result)})
    run = server.run(20)
    failed = outcome_of(run, 3)
    assert (failed.kind, failed.attempts, failed.http_status) == (kind, 1, getattr(result, "status", None))
    assert failed.body == getattr(result, "body", None)
    assert len(run.failed) == 1


def test_an_answer_is_kept_raw_with_its_usage_and_the_attempts_it_took() -> None:
    """Failed attempts before it count; throttled attempts are counted separately."""
    server = Server({3: first(refusal(500), 2), 4: first(refusal(429, "slow down"), 3)})
    run = server.run(60)
    third, fourth = outcome_of(run, 3), outcome_of(run, 4)
    assert (third.kind, third.attempts, third.throttled, third.body) == (None, 3, 0, ANSWER)
    assert (fourth.kind, fourth.attempts, fourth.throttled, fourth.http_status) == (None, 4, 3, 200)
    assert third.usage.total_tokens == 15
    assert third.finished_at_ms == 1_700_000_000_000


def test_a_row_that_is_throttled_a_few_times_spends_nothing() -> None:
    """A rejection that could hit any row is not the row's failure."""
    server = Server({3: first(refusal(429, "Concurrency limit reached for requests"), 8)})
    run = server.run(300, policy=Policy(max_attempts=1))
    assert not run.failed
    assert outcome_of(run, 3).attempts == 9


REJECTED = [
    ("throttled", refusal(429, "Concurrency limit reached for requests")),
    ("throttled", refusal(429, "words that nobody has seen yet")),
    ("throttled", refusal(429, "slow down", retry_after="5")),
    ("rate_limited", refusal(429, "tokens per minute exceeded", retry_after="5")),
    ("rate_limited", refusal(429, "tokens per minute exceeded")),
]


@pytest.mark.parametrize(("kind", "result"), REJECTED)
@pytest.mark.parametrize("rows", [1, 40, 2_000])
@pytest.mark.parametrize("bad", [1, 5])
def test_a_row_that_is_always_rejected_fails_and_holds_the_others_up_only_for_a_while(
    kind: str, result: Result, rows: int, bad: int
) -> None:
    """Whether others are left or only canaries show that the endpoint lets requests in."""
    server = Server(dict.fromkeys(range(bad), always(result)))
    run = server.run(rows + bad)
    assert run.stop is None
    assert {(outcome.row, outcome.kind) for outcome in run.failed} == {(row, kind) for row in range(bad)}
    assert len(run.outcomes) == rows + bad
    assert all(9 <= outcome.attempts <= 60 for outcome in run.failed)
    undisturbed_s = Server({}).run(rows + bad).ended_s
    last_s = [times[-1] for body, times in server.times.items() if body != CANARY and int(body[4:]) >= bad]
    assert max(last_s) < undisturbed_s + 30 + 80 * bad


def test_throttled_attempts_between_failures_do_not_erase_them() -> None:
    """A row that fails, is throttled and fails again has failed twice."""
    cycle = [refusal(500), refusal(429, "slow down")]
    server = Server({3: lambda attempt: cycle[(attempt - 1) % 2]})
    run = server.run(400, policy=Policy(max_attempts=3))
    failed = outcome_of(run, 3)
    assert (failed.kind, failed.attempts, failed.throttled) == ("server_error", 5, 2)


def test_a_connection_that_was_not_made_costs_a_row_nothing() -> None:
    """Nothing of the row was sent, so it cannot be the reason."""
    server = Server({3: first(Fault("connection", "refused", 0.01, was_sent=False), 7)})
    run = server.run(3_000, policy=Policy(max_attempts=2))
    assert not run.failed
    assert outcome_of(run, 3).attempts == 8


def test_an_overloaded_endpoint_costs_a_row_a_quarter_of_an_attempt() -> None:
    """The row fails late, but it fails; and one other failure after many of these counts as one."""
    server = Server({3: always(refusal(503, "overloaded")), 4: first(refusal(503), 3)})
    run = server.run(2_000, policy=Policy(max_attempts=2))
    assert outcome_of(run, 3).attempts == 8
    server = Server({4: lambda attempt: refusal(503) if attempt < 4 else refusal(500) if attempt == 4 else None})
    assert not server.run(3_000, policy=Policy(max_attempts=2)).failed


@pytest.mark.parametrize(("advice", "at_least_s"), [({"retry_after": "20"}, 20), ({"retry_after_ms": "7500"}, 7.5)])
def test_retry_after_is_honoured_for_the_request_that_got_it_and_delays_no_other(
    advice: dict[str, str], at_least_s: float
) -> None:
    """It is sent again after that time; all others continue as usual."""
    server = Server({3: first(refusal(500, "", **advice))})
    run = server.run(400)
    begun_s, again_s = server.times[b"row-3"]
    assert again_s - begun_s >= at_least_s
    undisturbed_s = Server({}).run(400).ended_s
    others = [times[-1] for body, times in server.times.items() if body != b"row-3"]
    assert max(others) <= undisturbed_s
    assert run.ended_s < max(undisturbed_s, at_least_s) + 2


def test_a_concurrency_429_that_says_retry_after_60_stalls_nothing() -> None:
    """LiteLLM sends this header although a slot is free half a second later."""
    rejection = refusal(429, "Deployment has all max_parallel_requests slots in use", retry_after="60")
    endpoint = Endpoint(lambda now_s: 10)
    held = [0]

    def trouble(now_s: float, body: bytes) -> Result | None:
        held[0] += 1
        return rejection if endpoint.in_flight >= 10 else None

    endpoint.trouble = trouble
    run = send_all(endpoint, 600, limit=Limit(1_000))
    undisturbed = send_all(Endpoint(lambda now_s: 10), 600, limit=Limit(1_000))
    assert not run.failed
    assert run.ended_s < 1.1 * undisturbed.ended_s + 2


@pytest.mark.parametrize(
    ("result", "at_least_s", "at_most_s"),
    [
        (refusal(429, "slow down", retry_after="20"), 20.0, 22.0),
        (refusal(429, "slow down; try again in 9s"), 9.0, 11.0),
        (refusal(429, "too many parallel requests", retry_after="20"), 0.0, 2.1),
        (refusal(503, "overloaded, try again in 9s"), 9.0, 11.0),
    ],
)
def test_advice_is_obeyed_wherever_it_stands_unless_the_reply_names_requests_in_flight(
    result: Reply, at_least_s: float, at_most_s: float
) -> None:
    """Only that row waits; the rest of the run does not."""
    server = Server({3: first(result)})
    run = server.run(2_000)
    begun_s, again_s = server.times[b"row-3"]
    assert at_least_s <= again_s - begun_s <= at_most_s
    assert not run.failed


def test_a_bad_draw_is_asked_again_at_the_cost_of_an_attempt() -> None:
    """The model's answer was bad, not the request."""
    server = Server(
        {3: first(refusal(400, "json_validate_failed: please try again"), 2), 5: always(refusal(400, "please retry"))}
    )
    run = server.run(500, policy=Policy(max_attempts=4))
    assert [(outcome.row, outcome.kind, outcome.attempts) for outcome in run.failed] == [(5, "bad_draw", 4)]
    assert outcome_of(run, 3).attempts == 3


def test_a_rate_429_holds_all_rows_back_for_as_long_as_it_asks() -> None:
    """Whichever row got it: nothing leaves until then, and no attempt is spent."""
    server = Server({30: first(refusal(429, "Rate limit reached on requests per min (RPM)", retry_after="15"))})
    run = server.run(200, policy=Policy(max_attempts=1))
    assert not run.failed
    (rejected_s, _) = server.times[b"row-30"]
    sent_s = [time_s for times in server.times.values() for time_s in times]
    assert not [time_s for time_s in sent_s if rejected_s + 0.01 < time_s < rejected_s + 15]
    assert outcome_of(run, 30).throttled == 1


def test_each_request_ends_in_one_outcome() -> None:
    """Not two and not none, in a mixture of all kinds of replies."""
    odd = {row: always(result) for row, (_, result) in enumerate(FAULTY[:7] + FINAL, 50)}
    odd |= {row: first(refusal(503)) for row in range(100, 140)}
    run = Server(odd).run(400)
    assert Counter(outcome.row for outcome in run.outcomes) == Counter(request.row for request in requests(400))
