"""Bundles in the pool, on the virtual clock: their requests settle each for itself, and a bad one fails alone."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import pack
from typing import Any

import orjson
import pytest
from harness.endpoints import refusal
from harness.runs import Run, route, send_all

from batchrun.endpoint.pool.budget import Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.rules import Policy
from batchrun.job.sections import Response
from batchrun.prompts.bundles import joined
from batchrun.records import Attempted, Narrowed, Paused, Reply, Request, RequestKind, Spent

Answer = Callable[[int, dict[str, Any]], Reply | dict[str, Any] | None]
SCHEMA = {"type": "object", "properties": {"label": {"enum": ["good"]}}, "required": ["label"]}


@dataclass
class Server:
    """Embeds texts and answers chats; `answer` may return another reply, by the number of the request."""

    answer: Answer = lambda number, asked: None
    received: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, body: bytes, kind: RequestKind) -> Reply:
        asked = orjson.loads(body)
        self.received += 1
        self.asked.append(asked)
        await asyncio.sleep(0.1)
        made = self.answer(self.received, asked)
        if isinstance(made, Reply):
            return made
        made = made or (embedded(asked) if kind == "embeddings" else chatted(asked))
        self.billed.update(made["usage"])
        if kind == "embeddings":
            self.texts.update(asked["input"] if isinstance(asked["input"], list) else [asked["input"]])
        return Reply(200, {}, orjson.dumps(made), 0.1)

    def give_up(self, *_: Any) -> bool:
        return False


def embedded(asked: dict[str, Any]) -> dict[str, Any]:
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = [{"index": place, "embedding": [_number_in(text)]} for place, text in enumerate(texts)]
    tokens = sum(len(text) // 4 + 1 for text in texts)
    return {"object": "list", "data": data[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _number_in(text: str) -> float:
    """Return the row that a text names, or its length."""
    _, *named = text.split(" ")
    return float(named[0]) if named else float(len(text))


def in_base64(answer: dict[str, Any]) -> dict[str, Any]:
    data = [
        each | {"embedding": b64encode(pack("<1f", *each["embedding"])).decode()} for each in reversed(answer["data"])
    ]
    return answer | {"data": data}


def chatted(asked: dict[str, Any], *texts: str, count: int | None = None) -> dict[str, Any]:
    contents = texts or [f"answer {place}" for place in range(asked.get("n", 1) if count is None else count)]
    choices = [
        {"index": place, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        for place, content in enumerate(contents)
    ]
    usage = {"prompt_tokens": 50, "completion_tokens": 7 * len(choices), "total_tokens": 50 + 7 * len(choices)}
    return {"id": "c", "choices": choices, "usage": usage}


def embedding(row: int, text: str) -> Request:
    body = orjson.dumps({"model": "m", "input": text})
    return Request(row, "m", 0, b"k%d" % row, body, f"id{row}", "embeddings")


def texts(count: int, bad: tuple[int, ...] = (), size: int = 64) -> list[Request]:
    rows = [embedding(row, f"{'bad' if row in bad else 'good'} {row} {'x' * (row % 64)}") for row in range(count)]
    return [joined(rows[start : start + size]) for start in range(0, count, size)]


def samples(rows: int, count: int) -> list[Request]:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    return [joined([Request(row, "m", each, b"k", body, None) for each in range(count)]) for row in range(rows)]


def send(server: Server, requests: list[Request], **settings: Any) -> Run:
    body = orjson.dumps({"model": "m", "input": "canary"})
    canary = lambda model, is_bare: Request(-1, model, 0, b"", body, None, "embeddings")  # noqa: E731
    return send_all(server, requests, join=joined, canary=canary, **settings)


def attempts(run: Run) -> int:
    """Return the attempts that a run counts: of outcomes, and of what is in none."""
    events = [event for event in run.events if isinstance(event, Attempted)]
    return sum(each.attempts for each in run.outcomes) + sum(event.attempts for event in events)


def throttled(run: Run) -> int:
    events = [event for event in run.events if isinstance(event, Attempted)]
    return sum(each.throttled for each in run.outcomes) + sum(event.throttled for event in events)


def refuse_bad(number: int, asked: dict[str, Any]) -> Reply | None:
    return refusal(400, "Invalid input") if any("bad" in text for text in _texts(asked)) else None


def _texts(asked: dict[str, Any]) -> list[str]:
    value = asked["input"]
    return [value] if isinstance(value, str) else value


def test_each_row_gets_its_own_outcome() -> None:
    """Its vector by index, a reply as it would have got alone, its share of the usage; the sums are exact."""
    server = Server()
    run = send(server, texts(200))
    assert server.received == 4
    assert sorted(outcome.row for outcome in run.outcomes) == [*range(200)]
    for outcome in run.outcomes:
        body = orjson.loads(outcome.body or b"")
        [item] = body["data"]
        assert item == {"index": 0, "embedding": [float(outcome.row)]}
        assert (outcome.custom_id, outcome.key) == (f"id{outcome.row}", b"k%d" % outcome.row)
        assert body["usage"] == dict.fromkeys(("prompt_tokens", "total_tokens"), outcome.usage.prompt_tokens)
        assert (outcome.attempts, outcome.latency_s, outcome.http_status) == (1, 0.1, 200)
    assert sum(outcome.usage.prompt_tokens or 0 for outcome in run.outcomes) == server.billed["prompt_tokens"]
    assert sum(outcome.usage.total_tokens or 0 for outcome in run.outcomes) == server.billed["total_tokens"]
    assert attempts(run) == 4


@pytest.mark.parametrize("status", [400, 413, 422])
def test_three_bad_rows_of_64_fail_alone(status: int) -> None:
    """The bundle is halved until they are alone; the other 61 are answered, each once."""
    server = Server(lambda number, asked: refuse_bad(number, asked) and refusal(status, "Invalid input"))
    run = send(server, texts(64, bad=(3, 4, 40)))
    assert sorted(outcome.row for outcome in run.failed) == [3, 4, 40]
    assert all(outcome.http_status == status for outcome in run.failed)
    assert len(run.outcomes) == 64
    server.texts.pop("canary", None)
    assert set(server.texts.values()) == {1}
    assert len(server.texts) == 61
    assert server.received <= 40
    assert attempts(run) == server.received


@pytest.mark.parametrize(("status", "rows"), [(400, 3_000), (400, 6_000), (413, 3_000), (422, 3_000)])
@pytest.mark.parametrize(("most", "learned"), [(32, 32), (20, 16), (16, 16), (1, 1)])
def test_how_many_rows_a_request_may_have_is_found_out_once(status: int, most: int, learned: int, rows: int) -> None:
    """However many rows there are, some of them bad: the bundles after that have as many."""

    def few(number: int, asked: dict[str, Any]) -> Reply | None:
        return refusal(status, "too many.") if len(_texts(asked)) > most else refuse_bad(number, asked)

    server = Server(few)
    run = send(server, texts(rows, bad=(3, 700)))
    assert sorted(outcome.row for outcome in run.failed) == [3, 700]
    assert sorted(outcome.row for outcome in run.outcomes) == [*range(rows)]
    server.texts.pop("canary", None)
    assert set(server.texts.values()) == {1}
    narrowed = [event for event in run.events if isinstance(event, Narrowed)]
    assert narrowed[-1] == Narrowed("m", 2 * learned, learned, "too many.", are_rows=True)
    assert len(narrowed) <= 6
    assert rows / learned <= server.received <= rows / learned + (150 if most > 1 else 2_000)
    assert attempts(run) == server.received


def test_only_the_endpoint_that_takes_few_rows_is_sent_smaller_bundles() -> None:
    """Also where halves of what it refused were answered by the other one."""
    servers = {
        "few": Server(lambda number, asked: refusal(422, "too many") if len(_texts(asked)) > 16 else None),
        "many": Server(),
    }
    canary = lambda model, is_bare: embedding(-1, "canary")  # noqa: E731
    routes = [route(each, name, join=joined, canary=canary) for name, each in servers.items()]
    run = send_all(routes, texts(12_800))
    assert sorted(outcome.row for outcome in run.outcomes) == [*range(12_800)]
    assert not run.failed
    assert {event.endpoint for event in run.events if isinstance(event, Narrowed)} == {"few"}
    sizes = Counter(len(_texts(asked)) for asked in servers["many"].asked)
    assert sizes[64] > 50
    refused = sum(len(_texts(asked)) > 16 for asked in servers["few"].asked)
    assert refused <= 60
    assert attempts(run) == sum(each.received for each in servers.values())


@pytest.mark.parametrize("is_base64", [False, True])
def test_a_model_that_has_answered_64_rows_is_sent_as_many_whatever_fails(is_base64: bool) -> None:
    """A bundle is refused by chance, and both of its halves are answered."""

    def some(number: int, asked: dict[str, Any]) -> Reply | dict[str, Any] | None:
        if number in (4, 5) and len(_texts(asked)) == 64:
            return refusal(400, "bad luck")
        return in_base64(embedded(asked)) if is_base64 else None

    server = Server(some)
    run = send(server, texts(1_280), limit=Limit(1))
    assert len(run.outcomes) == 1_280
    assert sum(outcome.reply is not None for outcome in run.outcomes) >= 1_000 * is_base64
    assert not run.failed
    assert not run.count(Narrowed)
    assert sum(len(_texts(asked)) == 64 for asked in server.asked) == 20


def test_bad_rows_in_every_bundle_do_not_make_bundles_smaller() -> None:
    server = Server(refuse_bad)
    run = send(server, texts(1_280, bad=tuple(range(5, 1_280, 64))))
    assert len(run.failed) == 20
    assert not run.count(Narrowed)
    assert sum(len(_texts(asked)) == 64 for asked in server.asked) == 20


def test_a_row_that_breaks_the_server_fails_alone() -> None:
    """Other failures send the whole bundle again; one that has used up its attempts is halved too."""
    bad = lambda number, asked: refusal(500, "oops") if refuse_bad(number, asked) else None  # noqa: E731
    server = Server(bad)
    run = send(server, texts(640, bad=(70,)), limit=Limit(4, start=4), policy=Policy(max_attempts=3))
    assert [outcome.row for outcome in run.failed] == [70]
    assert len(run.outcomes) == 640
    server.texts.pop("canary", None)
    assert set(server.texts.values()) == {1}


def test_a_bundle_that_fails_for_a_moment_is_sent_again_whole() -> None:
    server = Server(lambda number, asked: refusal(500, "oops") if number == 1 else None)
    run = send(server, texts(128), limit=Limit(1, start=1))
    assert server.received == 3
    assert not run.failed
    assert Counter(outcome.attempts for outcome in run.outcomes) == {2: 64, 1: 64}
    assert attempts(run) == 3


def test_a_bundle_is_one_request_for_the_limit() -> None:
    """Rejections for concurrency cost nothing, and are counted once for a bundle."""
    busy = 0
    most = 0

    class Busy(Server):
        async def send(self, body: bytes, kind: RequestKind) -> Reply:
            nonlocal busy, most
            if busy >= 5:
                self.received += 1
                return refusal(429, "Concurrency limit reached for requests")
            busy += 1
            most = max(most, busy)
            try:
                return await super().send(body, kind)
            finally:
                busy -= 1

    server = Busy()
    run = send(server, texts(6_400), limit=Limit(20, start=20))
    assert not run.failed
    assert len(run.outcomes) == 6_400
    assert most == 5
    assert throttled(run) == server.received - 100
    assert attempts(run) == server.received


def test_rows_without_a_vector_are_asked_again_alone() -> None:
    def lose_some(number: int, asked: dict[str, Any]) -> dict[str, Any] | None:
        made = embedded(asked)
        made["data"] = [each for each in made["data"] if each["index"] not in (5, 6)]
        return made if len(_texts(asked)) > 1 else None

    server = Server(lose_some)
    run = send(server, texts(64))
    assert server.received == 3
    assert sorted(outcome.row for outcome in run.outcomes) == [*range(64)]
    assert {outcome.row for outcome in run.outcomes if outcome.attempts == 2} == {5, 6}
    assert sum(outcome.usage.prompt_tokens or 0 for outcome in run.outcomes) == server.billed["prompt_tokens"]
    assert attempts(run) == 3


def test_samples_share_a_request_and_its_prompt() -> None:
    server = Server()
    run = send(server, samples(10, 4))
    assert server.received == 10
    assert sorted((outcome.row, outcome.sample) for outcome in run.outcomes) == [
        (row, sample) for row in range(10) for sample in range(4)
    ]
    assert sum(outcome.usage.prompt_tokens or 0 for outcome in run.outcomes) == 500
    assert sum(outcome.usage.completion_tokens or 0 for outcome in run.outcomes) == server.billed["completion_tokens"]
    shown = {orjson.loads(outcome.body or b"")["choices"][0]["message"]["content"] for outcome in run.outcomes}
    assert shown == {f"answer {place}" for place in range(4)}


def test_choices_that_are_missing_are_asked_for_alone() -> None:
    """Also of a server that does not know `n` at all: what it gives is kept."""
    server = Server(lambda number, asked: chatted(asked, count=1))
    run = send(server, samples(5, 4))
    assert server.received == 5 * 4
    assert [asked.get("n") for asked in server.asked].count(4) == 5
    assert [asked.get("n") for asked in server.asked].count(None) == 15
    assert len({(outcome.row, outcome.sample) for outcome in run.outcomes}) == 20
    assert not run.failed
    assert attempts(run) == 20


def ignores_n(number: int, asked: dict[str, Any]) -> dict[str, Any] | None:
    return chatted(asked, count=1) if "messages" in asked else None


def gives_four(number: int, asked: dict[str, Any]) -> dict[str, Any] | None:
    return chatted(asked, count=min(4, asked.get("n", 1))) if "messages" in asked else None


def refuses_n(number: int, asked: dict[str, Any]) -> Reply | None:
    return refusal(400, "no n.") if asked.get("n", 1) > 1 else None


def refuses_more_than_four(number: int, asked: dict[str, Any]) -> Reply | None:
    return refusal(422, "n > 4") if asked.get("n", 1) > 4 else None


def breaks_at_n(number: int, asked: dict[str, Any]) -> Reply | None:
    return refusal(500, "oops") if asked.get("n", 1) > 1 else None


@pytest.mark.parametrize(
    ("answer", "narrowed", "more"),
    [
        (ignores_n, Narrowed("m", 8, 1, ""), 0),
        (gives_four, Narrowed("m", 8, 4, ""), 24),  # of the first bundles, what is missing is asked for alone
        (refuses_n, Narrowed("m", 8, 1, "no n."), 90),
        (refuses_more_than_four, Narrowed("m", 8, 4, "n > 4"), 10),
        (breaks_at_n, Narrowed("m", 8, 1, "oops"), 80),
    ],
)
@pytest.mark.parametrize("rows", [50, 500])
def test_what_one_request_gives_is_found_out_once(answer: Answer, narrowed: Narrowed, more: int, rows: int) -> None:
    """However many rows there are: then no request asks for more, and the user has heard of it once."""
    server = Server(answer)
    run = send(server, samples(rows, 8))
    assert len({(outcome.row, outcome.sample) for outcome in run.outcomes}) == len(run.outcomes) == rows * 8
    assert not run.failed
    assert [event for event in run.events if isinstance(event, Narrowed)] == [narrowed]
    assert rows * 8 // narrowed.most <= server.received <= rows * 8 // narrowed.most + more
    assert attempts(run) == server.received
    assert run.count(Paused) <= 3
    assert sum(outcome.usage.prompt_tokens or 0 for outcome in run.outcomes) == sum(
        50 for asked in server.asked if "messages" in asked and not isinstance(answer(0, asked), Reply)
    )


def test_a_model_that_has_given_as_many_is_asked_for_them_whatever_fails() -> None:
    """Then the reason is another one: the bundle's own, or chance."""

    def some(number: int, asked: dict[str, Any]) -> Reply | dict[str, Any] | None:
        asks = "messages" in asked and asked.get("n", 1) == 4
        if asks and number in (10, 11):
            return refusal(400, "bad luck")
        return chatted(asked, count=3) if asks and number % 5 == 0 else None

    server = Server(some)
    run = send(server, samples(100, 4), limit=Limit(1))
    assert len(run.outcomes) == 400
    assert not run.failed
    assert not run.count(Narrowed)
    assert [asked.get("n") for asked in server.asked].count(4) == 100


def test_an_outage_does_not_lead_to_fewer_samples() -> None:
    """A server that is away breaks at whatever it is sent."""
    server = Server(lambda number, asked: refusal(503, "loading") if number < 100 else None)
    run = send(server, samples(100, 4))
    assert len(run.outcomes) == 400
    assert not run.count(Narrowed)
    assert all(asked.get("n") == 4 for asked in server.asked if "messages" in asked)


def test_only_the_endpoint_that_does_not_know_n_is_asked_for_single_samples() -> None:
    """The other one gives all samples of a row to one request, also of those that the first had in hand."""
    servers = {"old": Server(refuses_n), "new": Server()}
    body = orjson.dumps({"model": "m", "messages": [], "max_tokens": 1})
    canary = lambda model, is_bare: Request(-1, model, 0, b"", body, None)  # noqa: E731
    routes = [route(each, name, join=joined, canary=canary) for name, each in servers.items()]
    run = send_all(routes, samples(200, 8))
    assert len({(outcome.row, outcome.sample) for outcome in run.outcomes}) == len(run.outcomes) == 1_600
    assert [event.endpoint for event in run.events if isinstance(event, Narrowed)] == ["old"]
    assert servers["new"].received < 8 * 200 / 3
    counts: Counter[str] = Counter()
    for each in [*run.outcomes, *(event for event in run.events if isinstance(event, Attempted))]:
        counts[each.endpoint] += each.attempts
    assert counts == {name: each.received for name, each in servers.items()}


def test_a_cap_that_has_no_room_for_eight_samples_has_it_for_one() -> None:
    """What is set aside is for what is sent: one sample, where the model gives one."""
    server = Server(ignores_n)

    def worst(request: Request) -> Amount:
        return Amount(0.0, 50 + 7 * len(request.rows))

    budget = Budget(Amount(1e9, 57 * 80), Used(), worst, lambda model, usage: Amount(0.0, usage.total_tokens or 0))
    run = send(server, samples(100, 8), budget=budget, limit=Limit(2))
    assert run.stop is not None
    assert len(run.outcomes) == 80


def test_a_choice_that_is_withheld_fails_its_sample_alone() -> None:
    """Whichever of them it is; those that broke off are asked again alone."""

    def some(number: int, asked: dict[str, Any]) -> dict[str, Any]:
        made = chatted(asked)
        if asked.get("n") == 3:
            made["choices"][0] |= {"message": None, "finish_reason": "content_filter"}
            made["choices"][1] |= {"error": {"message": "lost", "code": 500}, "finish_reason": "error"}
        return made

    server = Server(some)
    run = send(server, samples(1, 3))
    assert {outcome.sample: outcome.kind for outcome in run.outcomes} == {0: "content_filter", 1: None, 2: None}
    assert server.received == 2
    assert "n" not in server.asked[1]


def test_only_the_sample_that_does_not_fit_the_schema_is_repaired() -> None:
    def answer(number: int, asked: dict[str, Any]) -> dict[str, Any]:
        fits = '{"label": "good"}'
        return chatted(asked, fits, "bad", fits) if asked.get("n") else chatted(asked, fits)

    server = Server(answer)
    run = send(server, samples(2, 3), repair=Repair(Response(schema=SCHEMA, repair_attempts=1)))
    assert len(run.outcomes) == 6
    assert not run.failed
    repairs = [asked for asked in server.asked if "n" not in asked]
    assert [len(asked["messages"]) for asked in repairs] == [3, 3]
    spent = sum(event.usage.total_tokens or 0 for event in run.events if isinstance(event, Spent))
    settled = sum(outcome.usage.total_tokens or 0 for outcome in run.outcomes)
    assert spent + settled == server.billed["total_tokens"]


def test_a_cap_holds_over_bundles() -> None:
    """The most that all rows of a bundle can use is set aside together."""

    def worst(request: Request) -> Amount:
        return Amount(0.0, sum(len(each.body) for each in request.rows))

    server = Server()
    budget = Budget(Amount(1e9, 20_000), Used(), worst, lambda model, usage: Amount(0.0, usage.total_tokens or 0))
    run = send(server, texts(6_400), budget=budget)
    assert run.stop is not None
    assert run.stop.kind == "token_cap"
    assert 0 < server.billed["total_tokens"] <= 20_000
    assert sum(outcome.usage.total_tokens or 0 for outcome in run.outcomes) == server.billed["total_tokens"]


def ten_each(number: int, asked: dict[str, Any]) -> dict[str, Any]:
    tokens = 10 * len(_texts(asked))
    return embedded(asked) | {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


@pytest.mark.parametrize(("cap", "rows"), [(640, 64), (639, 63), (200, 20), (10, 1), (9, 0)])
def test_what_a_cap_leaves_is_used_by_smaller_bundles(cap: int, rows: int) -> None:
    """Down to a row alone, in few requests; and the message names what that one needs."""
    server = Server(ten_each)
    budget = Budget(
        Amount(1e9, cap),
        Used(),
        lambda request: Amount(0.0, 10 * len(request.rows)),
        lambda model, usage: Amount(0.0, usage.total_tokens or 0),
    )
    run = send(server, texts(128), budget=budget)
    assert run.stop is not None
    assert run.stop.kind == "token_cap"
    assert "can use up to 10 tokens" in run.stop.message
    assert len(run.outcomes) == rows
    assert server.received <= 7
    assert attempts(run) == server.received


def test_what_is_in_flight_is_noted_row_by_row() -> None:
    """As many answers are bought twice if the process is killed, and are shown and set aside then."""
    run = send(Server(), texts(640), limit=Limit(2))
    assert max(run.flights) == 128
    assert run.flights[-1] == 0


def test_a_refused_key_leaves_all_rows_open() -> None:
    """A refusal is nobody's own: no bundle is halved for it, and none fails."""
    server = Server(lambda number, asked: refusal(401, "Invalid API key"))
    run = send(server, texts(640))
    assert run.stop is not None
    assert run.stop.exit_code == 4
    assert not run.outcomes
    assert attempts(run) <= server.received


def test_the_attempts_of_a_bundle_that_moves_count_at_each_endpoint() -> None:
    """It was rejected at one, and answered at the other."""
    slots = {"a": 0, "b": 0}

    class Narrow(Server):
        name = ""

        async def send(self, body: bytes, kind: RequestKind) -> Reply:
            slots[self.name] += 1
            try:
                if slots[self.name] > 3:
                    self.received += 1
                    self.rejected = getattr(self, "rejected", 0) + 1
                    return refusal(429, "Concurrency limit reached for requests")
                return await super().send(body, kind)
            finally:
                slots[self.name] -= 1

    servers = {name: Narrow(refuse_bad) for name in slots}
    for name, each in servers.items():
        each.name = name
    body = orjson.dumps({"model": "m", "input": "canary"})
    canary = lambda model, is_bare: Request(-1, model, 0, b"", body, None, "embeddings")  # noqa: E731
    routes = [route(each, name, join=joined, canary=canary) for name, each in servers.items()]
    run = send_all(routes, texts(1_000, bad=(100,), size=8))
    assert len(run.outcomes) == 1_000
    counts: Counter[str] = Counter()
    rejections: Counter[str] = Counter()
    for each in [*run.outcomes, *(event for event in run.events if isinstance(event, Attempted))]:
        counts[each.endpoint] += each.attempts
        rejections[each.endpoint] += each.throttled
    assert counts == {name: each.received for name, each in servers.items()}
    assert rejections == {name: each.rejected for name, each in servers.items()}
    assert min(rejections.values()) > 0
