import dataclasses
import datetime
import json
from hashlib import blake2b
from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Model
from batchrun.prompts import request
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.values import RowProblem
from batchrun.records import BadRow, Prompt, Request, Row

MESSAGES = [{"role": "user", "content": "hé"}]


def prompt(**body: Any) -> Prompt:
    return Prompt(3, "label", {"messages": MESSAGES} | body)


@pytest.fixture
def requests(make_job):
    """Return the requests that a job makes of a prompt."""

    def requests(asked: Prompt, **model: Any) -> list[Request]:
        return RequestMaker(make_job(**model)).requests(asked)

    return requests


def test_a_request_is_the_body_that_is_sent_and_its_hash(requests) -> None:
    """The key is the same in every run and Python version, so its value is written here."""
    [one] = requests(prompt(), temperature=0, max_tokens=64)
    body = '{"model":"m","messages":[{"role":"user","content":"hé"}],"max_tokens":64,"temperature":0}'
    assert one == Request(3, "m", 0, one.key, body.encode(), "label")
    assert one.key.hex() == "2cfe92e6f84fe886553cc6cc0fc98a85"
    assert one.key == blake2b(one.body, digest_size=16).digest()


def test_models_and_samples_multiply_in_this_order(requests) -> None:
    """One request per model and sample; the samples of a model differ in their seed only."""
    made = requests(prompt(), names=("a", "b"), num_samples=2, seed=5)
    assert [(one.model, one.sample, json.loads(one.body)["seed"]) for one in made] == [
        ("a", 0, 5),
        ("a", 1, 6),
        ("b", 0, 5),
        ("b", 1, 6),
    ]
    assert len({one.key for one in made}) == 4


def test_samples_without_a_seed_ask_the_same(requests) -> None:
    """Row, model and sample distinguish them."""
    one, two = requests(prompt(), num_samples=2)
    assert (one.body, one.key) == (two.body, two.key)


@pytest.mark.parametrize(
    "changed",
    [{"temperature": 1}, {"max_tokens": 5}, {"names": ("other",)}, {"extra_body": {"tools": []}}, {"stop": "x"}],
)
def test_the_key_changes_with_what_is_asked(requests, changed: dict[str, Any]) -> None:
    """Model, parameters and prompt are all part of the key."""
    [before] = requests(prompt())
    [after] = requests(prompt(), **changed)
    assert after.key != before.key
    assert requests(Prompt(3, "label", {"messages": [{"role": "user", "content": "he"}]}))[0].key != before.key


def test_the_key_does_not_change_with_how_it_is_asked(requests) -> None:
    """Streaming, label, row number and the order of the job's keys do not change it."""
    [plain] = requests(prompt(), extra_body={"a": 1, "b": 2}, temperature=0)
    [streamed] = requests(
        Prompt(9, None, {"messages": MESSAGES}), extra_body={"b": 2, "a": 1}, temperature=0, stream=True
    )
    assert streamed.key == plain.key
    assert json.loads(streamed.body) == json.loads(plain.body) | {
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_row_overrides_the_parameters_of_the_job(requests) -> None:
    """Also the seed, from which the samples count up."""
    made = requests(prompt(temperature=1, seed=10), temperature=0, top_p=0.5, num_samples=2, stream=True)
    bodies = [json.loads(one.body) for one in made]
    assert [(body["temperature"], body["top_p"], body["seed"]) for body in bodies] == [(1, 0.5, 10), (1, 0.5, 11)]
    assert list(bodies[0])[:2] == ["model", "messages"]


@pytest.fixture
def of_flags(make_job):
    """Return the one body that a job makes of a prompt, when flags set some of its parameters."""

    def of_flags(asked: Prompt, *flags: str, **model: Any) -> dict[str, Any]:
        job = dataclasses.replace(make_job(**model), by_flag=tuple(f"model.{flag}" for flag in flags))
        [one] = RequestMaker(job).requests(asked)
        body: dict[str, Any] = json.loads(one.body)
        return {key: value for key, value in body.items() if key not in ("model", "messages")}

    return of_flags


def test_a_flag_beats_a_row_and_a_row_beats_the_job(of_flags) -> None:
    """Zero is a value too. A row without own parameters is asked the same with the flag as with the job file."""
    own = prompt(temperature=1, top_p=0.5)
    assert of_flags(own, "temperature", temperature=0, top_p=0.9) == {"temperature": 0, "top_p": 0.5}
    assert of_flags(own, temperature=0, top_p=0.9) == {"temperature": 1, "top_p": 0.5}
    assert of_flags(prompt(), "temperature", temperature=0) == of_flags(prompt(), temperature=0)
    assert of_flags(prompt(stop="a", seed=3), "stop", "seed", stop=("b",), seed=0) == {"stop": ["b"], "seed": 0}


def test_a_row_takes_a_parameter_of_the_job_away_but_not_one_of_a_flag(of_flags) -> None:
    """Null in `params` means: as the endpoint does it."""
    less = prompt()._replace(without=frozenset({"temperature"}))
    assert of_flags(less, temperature=0, top_p=0.9) == {"top_p": 0.9}
    assert of_flags(less, "temperature", temperature=0) == {"temperature": 0}
    assert of_flags(prompt(seed=1)._replace(without=frozenset({"temperature"})), temperature=0) == {"seed": 1}


def test_the_two_names_of_the_longest_answer_are_one_parameter(of_flags) -> None:
    """A server that got both would take the one that nobody meant, or refuse."""
    old, new = prompt(max_tokens=5), prompt(max_completion_tokens=5)
    assert of_flags(new, "max_tokens", max_tokens=9) == {"max_tokens": 9}
    assert of_flags(new, max_tokens=9) == {"max_completion_tokens": 5}
    assert of_flags(old, extra_body={"max_completion_tokens": 9}) == {"max_tokens": 5}
    assert of_flags(prompt(), "max_tokens", max_tokens=9, extra_body={"max_completion_tokens": 7}) == {"max_tokens": 9}
    both = {"max_tokens": 1, "max_completion_tokens": 2}
    assert of_flags(prompt(**both)) == both


def test_the_model_is_that_of_the_job_or_else_of_the_row(requests) -> None:
    """LiteLLM's prefix is not sent to the endpoint."""
    assert [one.model for one in requests(prompt(model="own"), names=("a", "b"))] == ["a", "b"]
    [one] = requests(prompt(model="wandb/own"), names=())
    assert (one.model, json.loads(one.body)["model"]) == ("own", "own")
    elsewhere = Job(input=Input(path=("-",)), endpoint=Endpoint(base_url="https://host/v1"), model=Model())
    assert RequestMaker(elsewhere).requests(prompt(model="wandb/own"))[0].model == "wandb/own"


@pytest.mark.parametrize(
    ("body", "model", "problem"),
    [
        ({}, {"names": ()}, "has no model, and the job names none"),
        ({"top_p": 1}, {"names": ()}, "has no model, and the job names none"),
        ({"model": 3}, {"names": ()}, "model is a number"),
        ({"seed": "x"}, {"num_samples": 2}, "seed is a string; must be a whole number"),
        ({"seed": 2**63}, {}, None),
        ({"seed": 2**64}, {}, "Integer exceeds 64-bit range"),
        ({"seed": 2**64 - 1}, {"num_samples": 2}, "Integer exceeds 64-bit range"),
        ({"x": b"bytes"}, {}, "not JSON serializable: bytes"),
        ({"x": datetime.datetime(2026, 1, 1)}, {}, "not JSON serializable: datetime"),
        ({"x": "\ud800"}, {}, "surrogates"),
        ({"x": {1: 2}}, {}, "key must be str"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, {}, "surrogates"),
    ],
)
def test_what_json_cannot_hold_is_a_problem_of_the_row(requests, body, model, problem: str | None) -> None:
    """A clear reason for each, and no other exception."""
    if problem is None:
        assert requests(prompt(**body), **model)
        return
    with pytest.raises(RowProblem, match=problem):
        requests(prompt(**body), **model)


def test_a_body_too_large_to_send_is_a_problem_of_the_row(requests, monkeypatch) -> None:
    """At most 64 MiB."""
    [one] = requests(prompt())
    monkeypatch.setattr(request, "MAX_BODY_BYTES", len(one.body))
    assert requests(prompt())
    with pytest.raises(RowProblem, match="at most 0 MiB"):
        requests(prompt(x=1))
    assert MAX_BODY_BYTES == 67_108_864


@pytest.mark.parametrize("value", [float("nan"), datetime.date(2026, 1, 1), 2**70])
def test_a_job_parameter_that_cannot_be_sent_is_an_error_of_the_job(make_job, value: Any) -> None:
    """It is reported once, not for every row."""
    with pytest.raises(JobError, match=r"\[model\]"):
        RequestMaker(make_job(extra_body={"x": value}))


@pytest.mark.parametrize("key", ["model", "messages", "n", "stream", "stream_options"])
def test_a_job_cannot_set_what_the_run_sets(make_job, key: str) -> None:
    """Servers differ in how they read a body that has a key twice."""
    with pytest.raises(JobError, match=key):
        RequestMaker(make_job(extra_body={key: 1}))


def test_a_broken_row_counts_once_for_each_request_it_would_have_been(make_job) -> None:
    """Same order; one key for all, which depends on the problem."""
    maker = RequestMaker(make_job(names=("a", "b"), num_samples=2))
    row = Row(3, None, "a.jsonl:4", "is not JSON")
    rows = list(maker.bad_rows(row, "label", "is not JSON"))
    key = rows[0].key
    assert rows == [
        BadRow(3, model, sample, key, "label", "a.jsonl:4: is not JSON") for model in ("a", "b") for sample in (0, 1)
    ]
    assert len(key) == 16
    assert next(maker.bad_rows(row, "label", "is not UTF-8")).key != key
    assert next(maker.bad_rows(row, None, "is not JSON")).key != key
    assert [row.model for row in RequestMaker(make_job(names=())).bad_rows(row, None, "x")] == [""]


MAX_BODY_BYTES = request.MAX_BODY_BYTES

NAMES = ("MiniMaxAI/MiniMax-M3", "deepseek-ai/DeepSeek-R1-0528", "zai-org/GLM-6")
"""A reasoning model that is served, one that is retired, and one that the catalogue does not have yet."""


@pytest.mark.parametrize(("stream", "streamed"), [(False, []), (True, [*NAMES, "m"]), ("auto", [*NAMES])])
def test_auto_streams_the_answers_of_reasoning_models(requests, stream: bool | str, streamed: list[str]) -> None:
    """For each model as the catalogue knows it; the key is the same: the question is."""
    names = (*NAMES, "m")
    made = requests(prompt(), names=names, stream=stream)
    assert [one.model for one in made if json.loads(one.body).get("stream")] == streamed
    assert [one.key for one in made] == [one.key for one in requests(prompt(), names=names)]


def test_auto_knows_the_models_that_rows_name(make_job) -> None:
    """Each model decides for its own rows."""
    job = make_job(names=(), stream="auto")
    made = [RequestMaker(job).requests(prompt(model=model))[0] for model in ("MiniMaxAI/MiniMax-M3", "m")]
    assert [b'"stream":true' in one.body for one in made] == [True, False]
