"""A row whose answer does not fit the schema is asked again, and fails in the end; through the real pool."""

from collections import Counter
from typing import Any

import orjson
import pytest
from harness.endpoints import Endpoint
from harness.runs import Run, send_all

from batchrun.endpoint.pool.repair import Repair
from batchrun.job.sections import Response
from batchrun.records import Reply, Request, Spent, Usage

SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}},
    "required": ["label"],
    "additionalProperties": False,
}

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def completion(text: str | None) -> Reply:
    message = {"role": "assistant", "content": text}
    return Reply(200, {}, orjson.dumps({"choices": [{"message": message}], "usage": USAGE}), 0.01)


class Server:
    """Gives each row its answers one after the other and repeats the last; records the questions."""

    def __init__(self, *answers: str | None) -> None:
        self._answers = [completion(text) for text in answers]
        self.asked: dict[str, list[Any]] = {}

    def trouble(self, now_s: float, body: bytes) -> Reply:
        messages = orjson.loads(body)["messages"]
        asked = self.asked.setdefault(messages[0]["content"], [])
        asked.append(messages)
        return self._answers[min(len(asked), len(self._answers)) - 1]


def run(server: Server, rows: int = 3, repair_attempts: int = 2) -> Run:
    bodies = [orjson.dumps({"model": "m", "messages": [{"role": "user", "content": f"row {n}"}]}) for n in range(rows)]
    requests = [Request(row, "m", 0, b"k", body, None) for row, body in enumerate(bodies)]
    repair = Repair(Response(schema=SCHEMA, repair_attempts=repair_attempts))
    return send_all(Endpoint(lambda now_s: 20, trouble=server.trouble), requests, repair=repair)


def spent(run: Run) -> list[Usage]:
    return [event.usage for event in run.events if isinstance(event, Spent)]


def test_a_row_whose_answer_fits_is_asked_once() -> None:
    """And no event reports a repair."""
    server = Server('{"label": "good"}')
    done = run(server)
    assert [outcome.kind for outcome in done.outcomes] == [None] * 3
    assert {len(asked) for asked in server.asked.values()} == {1}
    assert done.events == []


def test_a_row_whose_answer_does_not_fit_is_asked_again_with_the_complaint() -> None:
    """The first question, then the answer, then what is wrong with it. The answer's tokens are counted."""
    server = Server("I think it is good.", '{"label": "fine"}', 'Sure: {"label": "good"}')
    done = run(server)
    assert [(outcome.kind, outcome.attempts) for outcome in done.outcomes] == [(None, 3)] * 3
    first, second, third = server.asked["row 0"]
    assert [message["role"] for message in third] == ["user", "assistant", "user"]
    assert second[:1] == third[:1] == first
    assert second[1]["content"] == "I think it is good."
    assert third[1]["content"] == '{"label": "fine"}'
    assert "/label" in third[2]["content"]
    assert "fine" in third[2]["content"]
    assert spent(done) == [Usage(7, 5, 12)] * 6
    assert [outcome.usage for outcome in done.outcomes] == [Usage(7, 5, 12)] * 3


@pytest.mark.parametrize("repair_attempts", [0, 1, 2])
def test_an_answer_that_never_fits_fails_its_row_and_is_kept(repair_attempts: int) -> None:
    """As invalid_response, with the complaint; each of its answers is paid for, and counted."""
    server = Server("no", "never", "not at all")
    done = run(server, repair_attempts=repair_attempts)
    last = ["no", "never", "not at all"][repair_attempts]
    for outcome in done.outcomes:
        assert (outcome.kind, outcome.attempts) == ("invalid_response", repair_attempts + 1)
        assert outcome.error == "the answer holds no JSON object"
        assert outcome.body == completion(last).body
        assert outcome.usage == Usage(7, 5, 12)
    assert len(spent(done)) == 3 * (repair_attempts + 1)


def test_a_row_whose_answer_has_no_text_is_asked_again_too() -> None:
    """A model may have called a tool instead."""
    done = run(Server(None, '{"label": "bad"}'))
    assert [outcome.kind for outcome in done.outcomes] == [None] * 3


def test_each_answer_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may be long, and everything else waits while it is parsed."""
    parsed: list[bytes] = []
    loads = orjson.loads

    def counted(data: Any) -> Any:
        parsed.append(data)
        return loads(data)

    server = Server("not yet", '{"label": "good"}')
    bodies = {completion(text).body for text in ("not yet", '{"label": "good"}')}
    monkeypatch.setattr("orjson.loads", counted)
    assert [outcome.kind for outcome in run(server, rows=1).outcomes] == [None]
    assert Counter(data for data in parsed if data in bodies) == dict.fromkeys(bodies, 1)
