"""A model's fallback: asked once for a row that fails for its own reason; the row says who answered."""

from collections.abc import Collection
from typing import Any

import orjson
import pytest
from harness.endpoints import ANSWER, Endpoint, refusal
from harness.runs import Run, route, send_all

from batchrun.endpoint.pool.budget import Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.rules import Policy
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.job.sections import Response
from batchrun.records import Attempted, Fault, Outcome, Reply, Request, Spent, Usage

TOO_LONG = refusal(400, "This model's maximum context length is 4096 tokens, your prompt has 5000")
FILTERED = Reply(400, {}, orjson.dumps({"error": {"message": "no", "code": "content_filter"}}), 0.01)
WRONG = refusal(400, "n must be at most 4")
KEY = refusal(401, "Incorrect API key provided")
FALLBACK = {"small": "large"}


def rows(count: int, model: str = "small") -> list[Request]:
    """Return requests whose body is that of a prompt."""
    return [
        Request(row, model, 0, b"%d" % row, orjson.dumps({"model": model, "prompt": f"row-{row}."}), None)
        for row in range(count)
    ]


class Server:
    """Models that answer, with what each refuses, and a list of who was asked what."""

    def __init__(self, slots: int = 20, **troubles: Any) -> None:
        self.asked: list[tuple[str, str]] = []
        self._troubles = troubles
        self.endpoint = Endpoint(lambda now_s: slots, trouble=self._trouble)

    def _trouble(self, now_s: float, body: bytes) -> Reply | Fault | None:
        asked = orjson.loads(body)
        self.asked.append((asked["model"], asked["prompt"]))
        trouble = self._troubles.get(asked["model"])
        return trouble(now_s, asked["prompt"]) if trouble else None

    def asked_of(self, model: str) -> list[str]:
        """Return the prompts that a model was sent, canaries left out."""
        return [prompt for its, prompt in self.asked if its == model and prompt != "canary"]


def canary(model: str, *, is_bare: bool) -> Request:
    return Request(-1, model, 0, b"", orjson.dumps({"model": model, "prompt": "canary"}), None)


def refuses(reply: Reply, numbers: Collection[int]) -> Any:
    prompts = {f"row-{number}." for number in numbers}
    return lambda now_s, prompt: reply if prompt in prompts else None


def run(server: Server, asked: list[Request] | int = 100, **settings: Any) -> Run:
    asked = rows(asked) if isinstance(asked, int) else asked
    settings = {"fallbacks": FALLBACK, "canary": canary, "limit": Limit(20)} | settings
    return send_all(server.endpoint, asked, **settings)


def by_row(run: Run) -> dict[int, Outcome]:
    assert len({each.row for each in run.outcomes}) == len(run.outcomes)
    return {each.row: each for each in run.outcomes}


@pytest.mark.parametrize("reply", [TOO_LONG, FILTERED], ids=["too long", "filtered"])
def test_the_fallback_is_asked_for_a_row_that_fails_for_its_own_reason(reply: Reply) -> None:
    """The same body with the other model's name; all other rows are answered by their own model."""
    server = Server(small=refuses(reply, range(0, 100, 10)))
    outcomes = by_row(run(server))
    assert {each.model for each in outcomes.values()} == {"small"}
    assert all(each.kind is None and each.key == b"%d" % row for row, each in outcomes.items())
    assert {row for row, each in outcomes.items() if each.answered_by == "large"} == {*range(0, 100, 10)}
    assert sorted(server.asked_of("large")) == sorted(f"row-{row}." for row in range(0, 100, 10))
    assert len(server.asked_of("small")) == 100
    assert {each.attempts for each in outcomes.values() if each.answered_by} == {2}


def test_a_row_that_the_fallback_refuses_too_fails_for_the_first_reason() -> None:
    """Once: no third model is asked, though the fallback has one of its own."""
    server = Server(small=refuses(TOO_LONG, [3, 7]), large=refuses(FILTERED, [3]))
    found = run(server, fallbacks={"small": "large", "large": "small"})
    (failed,) = found.failed
    assert (failed.row, failed.kind, failed.http_status, failed.answered_by) == (3, "context_length", 400, "")
    assert failed.error is not None
    assert failed.error.startswith("This model's maximum context length")
    assert failed.error.endswith("; its fallback large failed too: no")
    assert failed.attempts == 2
    assert server.asked_of("small").count("row-3.") == server.asked_of("large").count("row-3.") == 1
    assert by_row(found)[7].answered_by == "large"


@pytest.mark.parametrize("reply", [WRONG, refusal(500, "oops")], ids=["bad request", "server error"])
def test_other_failures_do_not_ask_the_fallback(reply: Reply) -> None:
    """A wrong parameter is wrong everywhere, and a server that fails is asked again."""
    server = Server(small=refuses(reply, [5]))
    (failed,) = run(server).failed
    assert not failed.answered_by
    assert server.asked_of("large") == []


def test_a_model_without_a_fallback_fails_its_rows() -> None:
    """Where another model of the job has one."""
    server = Server(small=refuses(TOO_LONG, [1]), other=refuses(TOO_LONG, [2]))
    found = run(server, [*rows(20), *rows(20, "other")])
    assert [(each.model, each.row) for each in found.failed] == [("other", 2)]
    assert [(each.model, each.row) for each in found.outcomes if each.answered_by] == [("small", 1)]


def test_the_kinds_that_count_are_those_of_the_table() -> None:
    """What the endpoint does to everybody, and what refuses the job, is not among them."""
    assert {kind for kind, effect in EFFECTS.items() if effect.falls_back} == {
        "bad_draw",
        "context_length",
        "content_filter",
        "too_large",
        "invalid_response",
        "refused",
    }


def test_an_answer_that_does_not_fit_after_its_repairs_is_paid_for_and_asked_of_the_fallback() -> None:
    """The fallback gets the row's first body, and its answer is checked, and repaired, too."""
    schema = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
    seen: list[dict[str, Any]] = []

    def answer(text: str, tokens: int) -> Reply:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}
        return Reply(200, {}, orjson.dumps({"id": "a", "choices": [choice], "usage": usage}), 0.1)

    def trouble(now_s: float, body: bytes) -> Reply:
        asked = orjson.loads(body)
        seen.append(asked)
        if asked["model"] == "small":
            return answer("no label", 1)
        return answer('{"label": "good"}' if len(asked["messages"]) > 1 else "nor here", 100)

    def request(row: int) -> Request:
        body = orjson.dumps({"model": "small", "messages": [{"role": "user", "content": "?"}]})
        return Request(row, "small", 0, b"", body, None)

    repair = Repair(Response(schema=schema, repair_attempts=1))
    endpoint = Endpoint(lambda now_s: 5, trouble=trouble)
    found = send_all(endpoint, [request(0)], fallbacks=FALLBACK, repair=repair)
    (outcome,) = found.outcomes
    assert (outcome.kind, outcome.model, outcome.answered_by, outcome.attempts) == (None, "small", "large", 4)
    assert outcome.usage.prompt_tokens == 100
    assert [(each["model"], len(each["messages"])) for each in seen] == [
        ("small", 1),
        ("small", 3),
        ("large", 1),
        ("large", 3),
    ]
    paid = [(each.model, each.usage.prompt_tokens) for each in found.events if isinstance(each, Spent)]
    assert paid == [("small", 1), ("small", 1), ("large", 100)]


def test_the_fallback_has_attempts_of_its_own() -> None:
    """As many as any row: what was spent at the first model is not counted."""
    failures = {"small": 3, "large": 3}

    def fails(model: str, last: Reply | None) -> Any:
        def trouble(now_s: float, prompt: str) -> Reply | None:
            if prompt != "row-4.":
                return None
            failures[model] -= 1
            return refusal(500, "oops") if failures[model] >= 0 else last

        return trouble

    server = Server(small=fails("small", TOO_LONG), large=fails("large", None))
    outcome = by_row(run(server, 200, policy=Policy(max_attempts=5)))[4]
    assert (outcome.kind, outcome.answered_by) == (None, "large")
    assert outcome.attempts == 3 + 1 + 3 + 1


def test_the_fallback_may_live_at_another_endpoint() -> None:
    """And have another name there; the outcome has the endpoint that answered."""
    here, there = Server(small=refuses(TOO_LONG, range(10))), Server()
    routes = [
        route(here.endpoint, "here", serves={"small": "small"}, fallbacks=FALLBACK, canary=canary),
        route(there.endpoint, "there", serves={"large": "vendor/large"}, fallbacks=FALLBACK, canary=canary),
    ]
    outcomes = by_row(send_all(routes, rows(50)))
    assert {row: each.endpoint for row, each in outcomes.items()} == {
        row: "there" if row < 10 else "here" for row in range(50)
    }
    assert {model for model, _ in there.asked} == {"vendor/large"}
    assert {each.answered_by for each in outcomes.values() if each.endpoint == "there"} == {"large"}


def test_a_fallback_that_is_a_model_of_the_job_too_answers_both() -> None:
    """Its own rows are its own."""
    server = Server(small=refuses(TOO_LONG, range(30)))
    found = run(server, [*rows(40), *rows(40, "large")])
    assert not found.failed
    assert sum(each.model == "large" and not each.answered_by for each in found.outcomes) == 40
    assert sum(each.model == "small" and each.answered_by == "large" for each in found.outcomes) == 30


def test_where_the_fallback_is_refused_its_rows_stay_open_and_the_others_are_answered() -> None:
    """Nothing more is sent to it; the run ends with the exit code of the refusal, and all attempts are reported."""
    server = Server(small=refuses(TOO_LONG, range(0, 200, 5)), large=lambda now_s, prompt: KEY)
    found = run(server, 200)
    assert found.stop is not None
    assert (found.stop.kind, found.stop.exit_code) == ("unauthorized", 4)
    assert "large" in found.stop.message
    assert {each.row for each in found.outcomes} == {row for row in range(200) if row % 5}
    noted = sum(each.attempts for each in found.events if isinstance(each, Attempted) and each.model == "small")
    canaries = sum(model == "small" and prompt == "canary" for model, prompt in server.asked)
    assert noted == 40 + canaries


def test_a_fallback_that_is_away_is_waited_for() -> None:
    """An outage costs time: the rows that wait for it are answered when it is back."""
    server = Server(
        small=refuses(TOO_LONG, range(0, 400, 4)),
        large=lambda now_s, prompt: Reply(503, {}, b"down", 0.1) if now_s < 60 else None,
    )
    found = run(server, 400)
    assert not found.failed
    assert sum(each.answered_by == "large" for each in found.outcomes) == 100
    assert found.ended_s > 60


def test_the_input_is_not_read_ahead_for_a_model_that_is_only_a_fallback() -> None:
    """As little waits to be sent as without it."""
    server = Server(small=None)
    most = 0
    pools: list[Any] = []

    def watch(now_s: float, prompt: str) -> None:
        nonlocal most
        most = max(most, pools[0].fresh)

    server._troubles["small"] = lambda now_s, prompt: (
        watch(now_s, prompt) or (TOO_LONG if prompt == "row-500." else None)
    )
    found = run(server, 5_000, pools=pools, limit=Limit(20))
    assert len(found.outcomes) == 5_000
    assert most < 1_000


def test_the_price_of_the_fallback_counts_for_what_it_is_asked() -> None:
    """What is set aside and what is spent is by the model that is asked."""
    usd = {"small": 1.0, "large": 100.0}
    budget = Budget(
        Amount(10_000.0, 1e9),
        Used(),
        lambda request: Amount(usd[request.model], 15),
        lambda model, usage: Amount(usd[model], usage.total_tokens or 0),
    )
    server = Server(small=refuses(TOO_LONG, [2, 4]))
    found = run(server, 10, budget=budget)
    assert not found.failed
    canaries = sum(isinstance(each, Spent) for each in found.events)
    assert budget.used.spent.usd == 8 + canaries + 2 * 100.0


def test_a_run_that_the_cap_stops_leaves_the_fallback_rows_open() -> None:
    """The cap is kept: what the fallback would cost is not left."""
    budget = Budget(
        Amount(50.0, 1e9),
        Used(),
        lambda request: Amount(100.0 if request.model == "large" else 1.0, 15),
        lambda model, usage: Amount(1.0, usage.total_tokens or 0),
    )
    server = Server(small=refuses(TOO_LONG, [2]))
    found = run(server, 10, budget=budget)
    assert found.stop is not None
    assert found.stop.kind == "cost_cap"
    assert {each.row for each in found.outcomes} == {*range(10)} - {2}
    assert server.asked_of("large") == []


def test_the_answer_of_the_fallback_has_its_own_usage() -> None:
    """The outcome has the tokens of the answer that it holds."""
    server = Server(small=refuses(TOO_LONG, [0]))
    outcome = by_row(run(server, 3))[0]
    assert outcome.body == ANSWER
    assert outcome.usage == Usage(10, 5, 15)
