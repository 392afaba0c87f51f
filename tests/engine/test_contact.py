"""What a run knows and says of its endpoint."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_rows
from harness.settled import HEAD, failed, settle

from batchrun.checkpoint import facts
from batchrun.endpoint.key import Secret
from batchrun.engine.access import Access
from batchrun.engine.contact import Contact
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Limits, Model
from batchrun.records import Closed, GivenUp, Loosened, ModelTotals, Narrowed, Paused, Request, Resumed, Stop

URL = "http://127.0.0.1:9/v1"
OTHER = "http://other/v1"
COMPLETED = {"m": ModelTotals(requests=5, completed=5)}


class Store:
    """The facts and totals of a checkpoint."""

    def __init__(self, totals: Any = None, **known: Any) -> None:
        self.totals = totals or {}
        self.known = known

    def fact(self, fact: Any) -> Any:
        return self.known.get(fact.name)

    def set_fact(self, fact: Any, value: Any) -> None:
        self.known[fact.name] = value


def job(*models: str, patience_s: float | None = None) -> Job:
    limits, endpoint = Limits(patience_s=patience_s), Endpoint(base_url=URL)
    return Job(input=Input(path=("a",)), model=Model(names=models or ("m",)), limits=limits, endpoint=endpoint)


def contact(store: Any = None, *models: str, patience_s: float | None = None, key: Secret | None = None) -> Contact:
    made = job(*models, patience_s=patience_s)
    return Contact(made, Access(URL, key, None), store or Store())


@pytest.mark.parametrize(
    ("store", "is_heard"),
    [
        (Store(), False),
        (Store(heard=[f"{URL}#"]), True),
        (Store(heard=[URL]), True),  # of an older version
        (Store(heard=["http://other/v1"]), False),
        (Store(COMPLETED, heard=["http://other/v1"]), False),
        (Store(COMPLETED, endpoints=[URL]), True),
        (Store(endpoints=[URL]), False),
        (Store(COMPLETED, endpoints=["http://other/v1", URL]), False),
    ],
)
def test_an_endpoint_is_known_when_it_has_replied_to_an_earlier_execution(store: Store, is_heard: bool) -> None:
    """An older version noted only whose answers a directory holds: with one endpoint that is enough."""
    assert contact(store).is_heard == is_heard


def test_a_reply_is_noted_once_and_other_endpoints_stay_noted() -> None:
    store = Store(heard=["http://other/v1"])
    noted = contact(store)
    noted.note_heard()
    assert store.known[facts.HEARD.name] == ["http://other/v1", f"{URL}#"]
    store.known.clear()
    noted.note_heard()
    assert not store.known


def test_a_patience_that_was_given_holds_from_the_first_request_on() -> None:
    assert (contact().policy.patience_s, contact().policy.unheard_s) == (43_200.0, 60.0)
    given = contact(patience_s=7.0).policy
    assert (given.patience_s, given.unheard_s) == (7.0, 7.0)


EVENTS: list[tuple[Any, bool, str]] = [
    (
        Paused("m", "connection", "refused"),
        True,
        "paused (connection): refused (no key is sent: OPENAI_API_KEY is not set)",
    ),
    (
        Paused("m", "connection", "refused"),
        False,
        f"nothing has answered yet at {URL}: refused; asking again for at most 1 min",
    ),
    (
        Paused("m", "timeout", "no answer in time", silent_s=6.04),
        False,
        f"nothing has answered yet at {URL}: no answer in time; asking again for at most 1 min 00 s, 6.0 s of which",
    ),
    (Resumed("m", 65.0), True, "the endpoint answers again after 1 min 05 s"),
    (Closed("m", "model not found; cure"), True, "nothing more is sent to m: model not found; cure. The other models"),
    (
        GivenUp("m", 2, 31.0, 1.5),
        True,
        "2 requests got no answer within 31.0 s (the slowest answer so far took 1.5 s): given up",
    ),
    (
        GivenUp("m", 2, 31.0, 1.5, is_last=True),
        True,
        "2 requests got no answer within 31.0 s (the slowest answer so far took 1.5 s): given up; the rows stay open",
    ),
    (
        GivenUp("m", 2, 31.0, 0.0, is_last=True),
        True,
        "2 requests in flight: given up, because no answer has come so far; the rows stay open",
    ),
    (
        Narrowed("m", 8, 1, ""),
        True,
        "of 8 samples in one request (n), 1 came back; from now on each is a request of its own, and its prompt",
    ),
    (
        Narrowed("m", 8, 4, "at most 4."),
        True,
        "8 samples in one request (n) are refused (at most 4); from now on a request asks for 4 at most",
    ),
    (
        Narrowed("m", 64, 16, "at most 16.", are_rows=True),
        True,
        "64 rows in one request are refused (at most 16); from now on a request asks for 16 at most",
    ),
    (
        Narrowed("m", 2, 1, "one text", are_rows=True),
        True,
        "2 rows in one request are refused (one text); from now on each is a request of its own",
    ),
    (Loosened("m", "no strict."), True, "strict is refused (no strict); the schema is sent without it"),
]


@pytest.mark.parametrize(("event", "is_heard", "text"), EVENTS)
def test_each_event_has_its_line_in_the_log(event: Any, is_heard: bool, text: str) -> None:
    assert contact().text(event, is_heard=is_heard).startswith(text)


def test_with_several_endpoints_the_line_names_the_endpoint() -> None:
    """And what continues: another endpoint for the same model, or only other models."""
    made = Job(
        input=Input(path=("a",)),
        model=Model(name="m"),
        endpoints={"a": Endpoint(base_url=URL), "b": Endpoint(base_url=OTHER, allow_http=True)},
    )
    of_a = Contact(made, Access(URL, Secret("k"), None), Store(), "a")  # type: ignore[arg-type]
    assert of_a.text(Paused("m", "connection", "x", endpoint="a"), is_heard=True).startswith("paused at a (connection)")
    unheard = of_a.text(Paused("m", "connection", "x", endpoint="a"), is_heard=False)
    assert unheard.startswith(f"nothing has answered yet at a ({URL}): x")
    assert of_a.text(Resumed("m", 5.0, "a"), is_heard=True) == "the endpoint answers again at a after 5.0 s"
    closed = Closed("m", "bad key", "a")
    assert of_a.text(closed, is_heard=True, is_served_elsewhere=True) == (
        "nothing more is sent to m at a: bad key. The other endpoints continue"
    )
    assert of_a.text(closed, is_heard=True).endswith("The other models continue")


@pytest.mark.parametrize("event", [Paused("m", "connection", "x"), Resumed("m", 5.0), GivenUp("m", 2, 31.0, 1.5)])
def test_with_several_models_the_line_names_the_model(event: Any) -> None:
    assert " for m" in contact(None, "m", "n").text(event, is_heard=True)


def test_a_key_that_is_sent_is_not_missed() -> None:
    assert "no key" not in contact(key=Secret("k")).text(Paused("m", "connection", "refused"), is_heard=True)


@pytest.mark.parametrize("stop", [None, Stop(kind="overloaded", message="m", exit_code=5)])
def test_other_stops_are_not_looked_into(stop: Stop | None) -> None:
    assert asyncio.run(contact().explained(stop, {})) is stop


def test_the_simulator_is_not_asked_around() -> None:
    """The job's URL is another one, and right or wrong it is not used."""
    stop = Stop(kind="unheard", message="m", exit_code=4)
    simulated = Contact(job(), Access("http://127.0.0.1:8/v1", None, None), Store())  # type: ignore[arg-type]
    assert asyncio.run(simulated.explained(stop, {})) is stop
    store = Store()
    Contact(job(), Access("http://127.0.0.1:8/v1", None, None), store).note_heard()  # type: ignore[arg-type]
    assert not store.known


@pytest.mark.parametrize(
    ("store", "answered"),
    [
        (Store(COMPLETED, answered={OTHER: ["m"]}, endpoints=[OTHER, URL]), []),
        (Store(COMPLETED, answered={OTHER: ["n"], URL: ["m"]}, endpoints=[OTHER, URL]), ["m"]),
        (Store(COMPLETED, answered={f"{URL}#": ["m"], URL: ["n"]}, endpoints=[URL]), ["m"]),
        (Store(COMPLETED, endpoints=[URL]), ["m"]),
        (Store(COMPLETED, endpoints=[OTHER, URL]), []),
        (Store(), []),
    ],
)
def test_a_model_is_known_only_at_the_endpoint_where_it_has_answered(store: Store, answered: list[str]) -> None:
    """So a new base URL that is wrong is not waited for as if it had ever answered."""
    assert contact(store).answered == answered


def test_the_models_that_answer_are_noted_by_endpoint() -> None:
    """Those of earlier executions stay noted, and endpoints that an older version noted count as answering."""
    store = Store(COMPLETED, endpoints=[OTHER, URL])
    made = contact(store)
    made.note_answered([])
    assert "answered" not in store.known
    made.note_answered(["m"])
    assert store.known["answered"] == {OTHER: [], f"{URL}#": ["m"]}
    made.note_answered(["n"])
    assert store.known["answered"] == {OTHER: [], f"{URL}#": ["m", "n"]}


def test_two_projects_at_one_url_are_known_apart() -> None:
    """Whatever the job calls them; what an older version noted of their URL counts for both."""
    endpoints = {name: Endpoint(base_url=URL, project=f"team/{name}") for name in ("a", "b")}

    def known_at(name: str, store: Store, called: str = "") -> Contact:
        named = {called or name: endpoints[name], "z": Endpoint(base_url=OTHER, allow_http=True)}
        made = Job(input=Input(path=("a",)), model=Model(name="m"), endpoints=named)
        return Contact(made, Access(URL, None, None), store, called or name)  # type: ignore[arg-type]

    store = Store(heard=[], answered={})
    first = known_at("a", store)
    first.note_heard()
    first.note_answered(["m"])
    assert [(each.is_heard, each.answered) for each in (known_at("a", store, "new"), known_at("b", store))] == [
        (True, ["m"]),
        (False, []),
    ]
    older = Store(heard=[URL], answered={URL: ["m"]})
    known_at("a", older).note_answered(["n"])
    assert [known_at(name, older).answered for name in endpoints] == [["n"], ["m"]]
    assert all(known_at(name, older).is_heard for name in endpoints)


def test_an_answered_request_is_made_again_from_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first row of the model that is completed, if the input still asks the same."""
    monkeypatch.chdir(tmp_path)
    sent: dict[tuple[str, int], bytes] = {}

    def answer(asked: Request) -> Any:
        sent[asked.model, asked.row] = asked.body
        return failed("bad_request") if asked.row < 2 else "x"

    made = settle([{"prompt": str(row)} for row in range(4)], answer, head=HEAD.replace('["m"]', '["m", "n"]'))
    found = Contact(made, Access(URL, None, None), Store())  # type: ignore[arg-type]
    request = found.answered_before("n")
    assert request is not None
    assert (request.model, request.row, request.body) == ("n", 2, sent["n", 2])
    assert found.answered_before("other") is None
    write_rows("in.jsonl", *({"prompt": "new"} for _ in range(4)))
    assert found.answered_before("n") is None
    Path("in.jsonl").unlink()
    assert found.answered_before("n") is None


def test_an_endpoint_of_several_that_never_answers_is_asked_for_longer_while_another_answers() -> None:
    """The time that is named ends the wait only where no other endpoint has replied."""
    both = {name: Endpoint(base_url=url) for name, url in (("a", URL), ("b", "https://other/v1"))}
    several = dataclasses.replace(job(), endpoints=both)
    text = Contact(several, Access(URL, None, None), Store(), "a").text(Paused("m", "connection", "no"), is_heard=False)
    assert "asking again for at most 1 min 00 s, longer while another endpoint answers; " in text
