"""Models that are closed while others continue, through the real pool on the virtual clock."""

from collections import Counter
from itertools import chain

import pytest
from harness.endpoints import Endpoint, refusal
from harness.runs import Run, requests, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Attempted, Closed, Fault, Reply, Request

ROWS = 300
UNKNOWN = refusal(404, "model not found")
NO_KEY = refusal(401, "Authentication failed")
NO_CREDIT = refusal(402, "You exceeded your current quota")


class Server:
    """Answers each model in its own way; None: properly."""

    def __init__(self, **answers: Reply | Fault | None) -> None:
        self.sent: Counter[str] = Counter()
        self.canaries: Counter[str] = Counter()
        self._answers = answers
        self.endpoint = Endpoint(lambda now_s: 50, trouble=self._trouble)

    def _trouble(self, now_s: float, body: bytes) -> Reply | Fault | None:
        kind, _, model = body.decode().partition("-")
        model = model[:1]
        (self.canaries if kind == "canary" else self.sent)[model] += 1
        return self._answers[model]

    def asked(self, rows: int) -> list[Request]:
        """Return the rows of all models, in turns."""
        return list(chain(*zip(*(self._of(model, rows) for model in self._answers), strict=True)))

    def _of(self, model: str, rows: int) -> list[Request]:
        return [each._replace(body=b"row-%s%d" % (model.encode(), each.row)) for each in requests(rows, model)]

    def run(self, rows: int = ROWS, **settings: object) -> Run:
        return send_all(self.endpoint, self.asked(rows), **{"limit": Limit(100), **settings})  # type: ignore[arg-type]


def rows_of(run: Run) -> Counter[str]:
    return Counter(outcome.model for outcome in run.outcomes)


@pytest.mark.parametrize("refused", ["a", "b"])
def test_a_model_that_is_not_served_is_closed_and_the_other_goes_on_to_its_end(refused: str) -> None:
    """Every row of the other is answered; the reason names the model, with the exit code of a refusal."""
    (served,) = {"a", "b"} - {refused}
    server = Server(**{"a": None, "b": None, refused: UNKNOWN})
    run = server.run()
    assert rows_of(run) == {served: ROWS}
    assert not run.failed
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("model_not_found", 4)
    assert run.stop.message.startswith(f"{refused}: model not found; ")
    assert [event for event in run.events if isinstance(event, Closed)] == [
        Closed(refused, run.stop.message.removeprefix(f"{refused}: "))
    ]
    assert (server.sent[refused] <= 10, server.canaries[refused]) == (True, 1)


def test_the_other_model_gets_all_slots() -> None:
    """A closed model has no share of the limit."""
    server = Server(a=None, b=UNKNOWN)
    server.run(2_000, limit=Limit(50, start=50))
    assert server.endpoint.peak == 50


def test_what_was_in_flight_when_a_model_is_closed_is_kept() -> None:
    """Answers are paid for, wherever they come from; failures leave their rows open."""
    server = Server(a=None, b=None)
    answer = server._answers

    def close(now_s: float, body: bytes) -> Reply | Fault | None:
        if now_s > 2.0:
            answer["b"] = UNKNOWN
        return server._trouble(now_s, body)

    server.endpoint.trouble = close
    run = server.run(2_000, limit=Limit(50, start=50))
    assert rows_of(run)["a"] == 2_000
    assert 50 < rows_of(run)["b"] < 2_000
    assert not run.failed
    assert server.endpoint.accepted == len(run.outcomes)


@pytest.mark.parametrize("answer", [UNKNOWN, NO_KEY, NO_CREDIT, refusal(400, "unknown parameter: top_k")])
def test_every_attempt_at_a_closed_model_is_counted(answer: Reply) -> None:
    """As an outcome's, or as one of a row that stays open."""
    server = Server(a=None, b=answer)
    run = server.run()
    reported = sum(event.attempts for event in run.events if isinstance(event, Attempted))
    assert reported + sum(outcome.attempts for outcome in run.outcomes) == server.endpoint.received


def test_when_all_models_are_refused_the_run_stops_at_once() -> None:
    """A wrong key is a matter of all: the reason names no model."""
    server = Server(a=NO_KEY, b=NO_KEY, c=NO_KEY)
    run = server.run(10_000)
    assert run.outcomes == []
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("unauthorized", 4)
    assert run.stop.message.startswith("Authentication failed; check the key")
    assert server.endpoint.received < 40
    assert run.ended_s < 2


def test_models_that_are_refused_for_the_same_reason_are_named_together() -> None:
    server = Server(a=UNKNOWN, b=None, c=UNKNOWN)
    run = server.run()
    assert run.stop is not None
    assert run.stop.message.startswith("a, c: model not found; ")


@pytest.mark.parametrize(("models", "message"), [(1, "Authentication failed; "), (2, "a: Authentication failed; ")])
def test_a_refused_model_is_named_where_the_job_has_others_that_are_done(models: int, message: str) -> None:
    """They have no rows in this execution."""
    run = Server(a=NO_KEY).run(models=models)
    assert run.stop is not None
    assert run.stop.message.startswith(message)


def test_a_refusal_counts_more_than_an_empty_account() -> None:
    """Running the same command again helps only one of the two."""
    run = Server(a=NO_CREDIT, b=UNKNOWN, c=None).run()
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("model_not_found", 4)
    assert run.stop.message.startswith("a: You exceeded your current quota; add credits")
    assert "; and b: model not found; " in run.stop.message


def test_a_model_that_is_away_for_too_long_is_closed_and_the_other_goes_on() -> None:
    """With the exit code of a run that can be resumed."""
    server = Server(a=None, b=refusal(503, "overloaded"))
    run = server.run(20_000, policy=Policy(patience_s=60.0))
    assert rows_of(run) == {"a": 20_000}
    assert run.ended_s > 100
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("overloaded", 5)
    assert run.stop.message.startswith("b: no request was answered for 6")
