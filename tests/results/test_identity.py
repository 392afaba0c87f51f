"""What identifies the job, the input and the endpoint of a run directory."""

import dataclasses
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.prompts import write_prompts

from batchrun import __version__
from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact, Origin
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.job.endpoint import Endpoint
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Limits, Model, Output, Price, Response
from batchrun.job.serialization import job_to_dict
from batchrun.prompts.input.files import InputFile, find_files
from batchrun.results.identity import (
    agreement_of,
    changed_parts,
    changed_settings,
    changed_text,
    has_agreed,
    has_changed,
    may_be_other_input,
    note_requests,
    note_start,
    origin_of,
    rows_of,
)

ORIGIN: Origin = {"job": "j", "input": "i", "limit": None}
A, B = "https://a.example/v1", "https://b.example/v1"


class Recorded:
    """Facts in memory."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def fact(self, fact: Fact[Any]) -> Any:
        """Return a fact."""
        return self.known.get(fact.name)

    def set_fact(self, fact: Fact[Any], value: Any) -> None:
        """Keep a fact."""
        self.known[fact.name] = value


def job(base_url: str = A, **sections: Any) -> Job:
    """Return a job; sections as `name={...}`."""
    kinds = {"input": Input, "model": Model, "prompt": PromptTemplates, "response": Response, "output": Output}
    made: dict[str, Any] = {name: kinds[name](**values) for name, values in sections.items()}
    return Job(**{"input": Input(path=("in.jsonl",)), "endpoint": Endpoint(base_url=base_url)} | made)


@pytest.fixture
def files(tmp_path: Path) -> list[InputFile]:
    """Return the files of an input."""
    return find_files([write_prompts("a", "b", path=str(tmp_path / "in.jsonl"))])


@pytest.mark.parametrize(
    ("sections", "is_same"),
    [
        ({}, True),
        ({"output": {"dir": "elsewhere"}}, True),
        ({"input": {"path": ("in.jsonl",), "dedupe": True}}, True),
        ({"model": {"max_tokens": 5}}, False),
        ({"model": {"names": ("m",)}}, False),
        ({"prompt": {"user": "{{ x }}"}}, False),
        ({"input": {"path": ("in.jsonl",), "id": "x"}}, False),
        ({"response": {"schema": {"type": "object"}}}, False),
        ({"response": {"mode": "none"}}, False),
    ],
)
def test_jobs_with_the_same_requests_have_the_same_origin(
    files: list[InputFile], sections: dict[str, Any], is_same: bool
) -> None:
    """Other settings do not matter."""
    assert (origin_of(job(), files) == origin_of(job(**sections), files)) is is_same


def test_a_flag_that_beats_the_rows_is_a_change_of_its_setting(files: list[InputFile]) -> None:
    """Although its value is that of the job file: rows that state their own ask something else."""
    before, now = (dataclasses.replace(job(), by_flag=flags) for flags in ((), ("model.temperature", "prompt.system")))
    assert origin_of(before, files)["job"] != origin_of(now, files)["job"]
    assert changed_settings(Recorded(job=job_to_dict(before)), now) == ["prompt.system", "model.temperature"]
    assert changed_settings(Recorded(job=job_to_dict(now)), before) == ["prompt.system", "model.temperature"]
    assert changed_settings(Recorded(job=job_to_dict(now)), now) == []


def test_the_endpoint_does_not_change_the_origin(files: list[InputFile]) -> None:
    """Answers of the earlier endpoint stay; `endpoints` records where answers come from."""
    assert origin_of(job(A), files) == origin_of(job(B), files)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {}, False),
        ({}, {"job": "other"}, True),
        ({}, {"input": "other"}, True),
        ({"limit": 5}, {"limit": 6}, False),
        ({"limit": 5}, {"limit": None}, False),
        ({"limit": 5}, {"limit": 4}, True),
        ({}, {"limit": 4}, True),
    ],
)
def test_a_higher_limit_of_rows_is_not_a_change_and_a_lower_one_is(before: Any, now: Any, expected: bool) -> None:
    """With a lower limit, rows disappear from the results."""
    assert has_changed({**ORIGIN, **before}, {**ORIGIN, **now}) is expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param({"rows": {"sample": 5, "sample_seed": 0}}, {}, False, id="a sample, then all rows"),
        pytest.param({}, {"rows": {"sample": 5, "sample_seed": 0}}, True, id="all rows, then a sample"),
        pytest.param({"rows": {"where": "a"}}, {"rows": {"where": "b"}}, True, id="another condition"),
        pytest.param({"rows": {"where": "a"}, "limit": 5}, {}, False, id="a condition and a limit, then all"),
        pytest.param({"rows": {"where": "a"}, "limit": 5}, {"limit": 5}, True, id="the first five of other rows"),
        pytest.param({"rows": {"where": "a"}, "limit": 5}, {"rows": {"where": "a"}, "limit": 6}, False, id="a limit"),
    ],
)
def test_a_wider_choice_of_rows_is_not_a_change_and_any_other_is(before: Any, now: Any, expected: bool) -> None:
    assert has_changed({**ORIGIN, **before}, {**ORIGIN, **now}) is expected


def test_the_settings_that_choose_other_rows_are_named(files: list[InputFile]) -> None:
    before = Recorded(asked=origin_of(job(input={"path": ("a",), "sample": 5}), files))
    now = job(input={"path": ("a",), "where": "a > 1", "sample": 6})
    assert changed_parts(before, now, origin_of(now, files)) == ["input.sample", "input.where"]


def test_the_job_its_version_origin_and_folder_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier mismatch is cleared, because all rows were checked since then."""
    monkeypatch.chdir(tmp_path)
    with Store(tmp_path) as store:
        store.set_fact(facts.MISMATCH, 3)
        note_requests(store, job(), ORIGIN, {})
    with Checkpoint(tmp_path) as checkpoint:
        noted = [
            checkpoint.fact(each) for each in (facts.JOB, facts.VERSION, facts.ORIGIN, facts.FOLDER, facts.MISMATCH)
        ]
    assert noted == [orjson.loads(orjson.dumps(job_to_dict(job()))), __version__, ORIGIN, str(tmp_path), None]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param({}, True, id="a salvaged directory"),
        pytest.param({"asked": ORIGIN}, True, id="other files"),
        pytest.param({"asked": {**ORIGIN, "input": ""}}, False, id="standard input"),
        pytest.param({"asked": {**ORIGIN, "input": ""}, "mismatch": 3}, True, id="a row that did not fit"),
    ],
)
def test_only_an_input_with_the_same_fingerprint_is_the_same(
    files: list[InputFile], known: dict[str, Any], expected: bool
) -> None:
    """A row that does not match its answer proves that the input is another one."""
    assert may_be_other_input(Recorded(**known), files) is expected
    own = Recorded(asked=origin_of(job(), files))
    assert may_be_other_input(own, files) is False


@pytest.mark.parametrize(
    ("limits", "holds"),
    [
        ({"max_cost_usd": 1.0}, True),
        ({"max_cost_usd": 1.0, "patience_s": 5.0}, True),
        ({"max_cost_usd": 2.0}, True),
        ({}, True),
        ({"max_cost_usd": 0.5}, False),
        ({"max_cost_usd": 1.0, "max_tokens_total": 5}, False),
    ],
)
def test_an_agreement_holds_for_the_same_caps_and_for_higher_ones(
    files: list[InputFile], limits: dict[str, Any], holds: bool
) -> None:
    """A lower cap, or one more, is another question."""
    agreed = agreement_of(dataclasses.replace(job(), limits=Limits(max_cost_usd=1.0)), files)
    recorded = Recorded(begun=orjson.loads(orjson.dumps(agreed)))
    assert has_agreed(recorded, agreement_of(dataclasses.replace(job(), limits=Limits(**limits)), files)) is holds
    assert not has_agreed(Recorded(), agreed)
    assert not has_agreed(Recorded(begun=[1.0, None, None, 1, "of an older version"]), agreed)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"model": Model(names=("n",))}, id="another model"),
        pytest.param({"model": Model(names=("m",), max_tokens=5)}, id="longer answers"),
        pytest.param({"model": Model(names=("m",), num_samples=2)}, id="more samples"),
        pytest.param({"prices": {"m": Price(input_usd_per_mtok=2.0)}}, id="another price"),
        pytest.param({"input": Input(path=("in.jsonl",), limit=5)}, id="another number of rows"),
    ],
)
def test_an_agreement_holds_only_for_the_job_and_the_input_that_it_was_given_for(
    files: list[InputFile], change: dict[str, Any]
) -> None:
    """What was agreed to for one model serves for no other."""
    capped = dataclasses.replace(
        job(model={"names": ("m",)}), limits=Limits(max_cost_usd=1.0), prices={"m": Price(input_usd_per_mtok=1.0)}
    )
    recorded = Recorded(begun=orjson.loads(orjson.dumps(agreement_of(capped, files))))
    assert has_agreed(recorded, agreement_of(capped, files))
    assert not has_agreed(recorded, agreement_of(dataclasses.replace(capped, **change), files))
    assert not has_agreed(recorded, agreement_of(capped, []))


@pytest.mark.parametrize(
    ("before", "now", "parts"),
    [
        ({}, {}, []),
        ({"input": "other"}, {}, ["the input"]),
        ({"limit": 2_000}, {"limit": 10}, ["input.limit (from 2,000 to 10)"]),
        ({}, {"limit": 10}, ["input.limit (from all rows to 10)"]),
        ({"limit": 10}, {}, ["input.limit (from 10 to all rows)"]),
    ],
)
def test_what_differs_from_the_run_before_is_named(before: Any, now: Any, parts: list[str]) -> None:
    """Settings as in the job file, the input, the number of rows."""
    recorded = Recorded(asked={**ORIGIN, **before}, job=orjson.loads(orjson.dumps(job_to_dict(job()))))
    origin: Any = {**ORIGIN, **now}
    assert changed_parts(recorded, job(), origin) == parts
    hotter = job(model={"temperature": 1.0})
    assert changed_parts(recorded, hotter, origin) == ["model.temperature", *parts]
    assert changed_parts(recorded, job(), origin, is_other_stdin=True)[:1] == ["the input"]


@pytest.mark.parametrize(
    ("known", "settings", "endpoints"),
    [
        pytest.param({}, {}, [A], id="the first"),
        pytest.param({"endpoints": [A]}, {}, [A], id="the same again"),
        pytest.param({"endpoints": [B]}, {}, [B, A], id="a second"),
        pytest.param({"endpoints": [A, B]}, {}, [B, A], id="back to the first"),
        pytest.param({"endpoints": [B]}, {"has_answers": False}, [A], id="the other has answered nothing"),
        pytest.param({"endpoints": [B]}, {"is_simulated": True}, [B], id="the simulator"),
    ],
)
def test_the_endpoint_that_answers_now_is_recorded_last(
    known: dict[str, Any], settings: dict[str, Any], endpoints: list[str]
) -> None:
    """Endpoints that answered earlier stay in the list."""
    recorded = Recorded(**known)
    note_start(recorded, job(A), **{"is_simulated": False, "has_answers": True} | settings)
    assert recorded.known["endpoints"] == endpoints


@pytest.mark.parametrize(
    ("known", "names", "unnamed"),
    [
        pytest.param({}, [""], [A], id="the first"),
        pytest.param({"endpoints": [B]}, [""], [B, A], id="an older version has answers of another"),
        pytest.param({"endpoints": [B], "unnamed": [B]}, [""], [B, A], id="a second"),
        pytest.param({"endpoints": [A]}, ["east", "west"], [A], id="several, after one"),
        pytest.param({"endpoints": [A, B], "unnamed": []}, ["east", "west"], [], id="several again"),
    ],
)
def test_the_endpoints_whose_answers_have_no_name_are_recorded(
    known: dict[str, Any], names: list[str], unnamed: list[str]
) -> None:
    """Those of executions whose job had one."""
    recorded = Recorded(**known)
    urls = {"": A, "east": A, "west": B}
    many = dataclasses.replace(job(A), endpoints={name: Endpoint(base_url=urls[name]) for name in names})
    note_start(recorded, many, is_simulated=False, has_answers=True)
    assert recorded.known["unnamed"] == unnamed


def test_the_identity_of_a_run_directory_never_changes() -> None:
    """Other systems know the run by it."""
    recorded = Recorded()
    note_start(recorded, job(), is_simulated=False, has_answers=False)
    first = recorded.known["identity"]
    note_start(recorded, dataclasses.replace(job(), name="other"), is_simulated=False, has_answers=False)
    assert recorded.known["identity"] == first != ""


@pytest.mark.parametrize(
    ("edit", "names"),
    [
        ({"model": Model(names=("m",), max_tokens=6)}, ["model.max_tokens"]),
        ({"model": Model(names=("other",))}, ["model.name"]),
        ({"model": Model(names=("m",), stop=("x",), seed=1)}, ["model.seed", "model.stop"]),
        ({"prompt": PromptTemplates(user="{{ a }}")}, ["prompt.user"]),
        ({"response": Response(schema={"type": "object"})}, ["response.schema"]),
        ({"input": Input(path=("other.jsonl",), id="key")}, ["input.id"]),
        ({"input": Input(path=("other.jsonl",))}, []),
        ({"limits": Limits(max_attempts=2)}, []),
    ],
)
def test_the_settings_that_changed_are_named_as_in_the_job_file(
    tmp_path: Path, edit: dict[str, Any], names: list[str]
) -> None:
    """Only settings that requests are made from count."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)), output=Output(dir="out"))
    with Store(tmp_path) as store:
        assert changed_settings(store, job) == []
        note_requests(store, job, ORIGIN, {})
    with Checkpoint(tmp_path) as checkpoint:
        assert changed_settings(checkpoint, dataclasses.replace(job, **edit)) == names


def test_a_setting_that_the_version_before_did_not_have_has_changed_only_where_it_is_set() -> None:
    """Otherwise an upgrade looks as if the user had edited the job."""
    older = job_to_dict(job())
    del older["model"]["rows_per_request"], older["model"]["num_samples"]
    recorded = Recorded(asked={**ORIGIN, "job": "of older"}, job=orjson.loads(orjson.dumps(older)))
    assert changed_settings(recorded, job()) == []
    assert changed_settings(recorded, job(model={"num_samples": 2})) == ["model.num_samples"]
    assert changed_parts(recorded, job(), ORIGIN) == ["the version of batchrun"]
    assert changed_parts(recorded, job(), {**ORIGIN, "job": "of older"}) == []
    assert changed_text(recorded, job(), {**ORIGIN, "job": "of older"}) == "the job or the input may have changed"
    assert changed_parts(recorded, job(), {**ORIGIN, "input": "x"}) == ["the input"]


def test_a_first_sample_does_not_change_its_seed(files: list[InputFile]) -> None:
    sampled = job(input={"path": ("in.jsonl",), "sample": 5})
    seeded = job(input={"path": ("in.jsonl",), "sample": 5, "sample_seed": 7})
    assert changed_parts(
        Recorded(**{facts.ORIGIN.name: origin_of(job(), files)}), sampled, origin_of(sampled, files)
    ) == ["input.sample"]
    recorded = Recorded(**{facts.ORIGIN.name: origin_of(sampled, files)})
    assert changed_parts(recorded, seeded, origin_of(seeded, files)) == ["input.sample_seed"]


def test_the_number_of_rows_is_remembered_for_the_same_input_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only if it was counted. A job that asks each row twice has the same rows."""
    monkeypatch.chdir(tmp_path)
    write_prompts("a", "b", "c")
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",), num_samples=2), output=Output(dir="out"))
    limited = dataclasses.replace(job, input=Input(path=("in.jsonl",), limit=1))
    files = find_files(["in.jsonl"])
    with Store(tmp_path) as store:
        note_requests(store, job, origin_of(job, files), {})
    for is_exact, rows in ((False, None), (True, 3)):
        with Store(tmp_path) as store:
            store.set_fact(facts.TOTAL, 6)
            store.set_fact(facts.IS_TOTAL_EXACT, is_exact)
        with Checkpoint(tmp_path) as checkpoint:
            assert rows_of(checkpoint, job, files) == rows
            assert rows_of(checkpoint, limited, files) is None
    edited = dataclasses.replace(job, model=Model(names=("m",)))
    with Store(tmp_path) as store:
        note_requests(store, edited, origin_of(edited, files), {})
    with Checkpoint(tmp_path) as checkpoint:
        assert rows_of(checkpoint, edited, files) is None
