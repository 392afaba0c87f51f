"""A job becomes plain data and a job again."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.job.endpoint import Endpoint
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Limits, Model, Output, Price
from batchrun.job.serialization import UnknownSettingError, job_from_dict, job_to_dict

INPUT = Input(path=("a.jsonl",))

FULL = Job(
    name="full",
    input=Input(path=("a.jsonl", "b/*.csv"), id="n", limit=5, strict=True),
    prompt=PromptTemplates(system="Be brief.", user="{{ text }}"),
    model=Model(
        names=("m", "n"),
        temperature=0.5,
        max_tokens=9,
        top_p=1,
        seed=0,
        stop=("a", "b"),
        num_samples=3,
        stream=True,
        extra_body={"tools": [{"type": "function"}], "logit_bias": {"1": 2}},
    ),
    endpoint=Endpoint(base_url="http://h/v1", allow_http=True, project="t/p", api_key_env="KEY"),
    limits=Limits(
        max_concurrency=3,
        requests_per_minute=4,
        tokens_per_minute=5,
        max_attempts=6,
        timeout_s=7,
        connect_timeout_s=8,
        max_cost_usd=9.5,
        stop_at="7:30",
        max_duration_s="8h",  # type: ignore[arg-type]  # as a file says it
        patience_s="1h",  # type: ignore[arg-type]  # as a file says it
    ),
    output=Output(dir="out", keep=("text",)),
    by_flag=("model.temperature", "prompt.system"),
    prices={"m": Price(input_usd_per_mtok=0.1, output_usd_per_mtok=0.2, cached_input_usd_per_mtok=0.01)},
)


@pytest.mark.parametrize(
    "job",
    [
        FULL,
        Job(input=INPUT),  # rows name their own models: no names at all
        Job(input=INPUT, model=Model(names=("m",), stop="a")),
        Job(input=INPUT, endpoint=Endpoint(provider="openai")),
        Job(
            input=INPUT,
            endpoints={
                "a": Endpoint(headers={"k": {"env": "V"}, "x": "y"}, query={"v": "1"}, max_concurrency=2),
                "b": Endpoint(provider="openai", models=["m"], prices={"m": Price(input_usd_per_mtok=1)}),
            },
        ),
    ],
    ids=["full", "no models", "one stop", "openai", "several"],
)
def test_a_job_survives_json(job: Job) -> None:
    """The checkpoint keeps the job as JSON, and `export` reads it."""
    assert job_from_dict(orjson.loads(orjson.dumps(job_to_dict(job)))) == job


def test_a_project_that_an_older_version_took_does_not_make_a_run_unreadable() -> None:
    """Only what is sent from now on needs its team."""
    for project in ("inference", "proj_abc"):
        data = job_to_dict(FULL)
        data["endpoint"] |= {"project": project}
        assert job_from_dict(data).endpoint.project is None
    assert job_from_dict(job_to_dict(FULL)).endpoint.project == "t/p"


texts = st.text(min_size=1, max_size=20)


@given(
    path=st.lists(texts, min_size=1, max_size=3),
    names=st.lists(texts, max_size=3),
    stop=st.none() | texts | st.lists(texts, min_size=1, max_size=3),
    temperature=st.none() | st.floats(0, 2),
    limit=st.none() | st.integers(1, 2**40),
    keep=st.none() | st.lists(texts, min_size=1, max_size=3),
    extra=st.dictionaries(texts, st.none() | st.booleans() | texts | st.lists(st.integers(-9, 9)), max_size=3),
)
def test_any_job_survives_json(
    path: list[str], names: list[str], stop: Any, temperature: Any, limit: Any, keep: Any, extra: dict[str, Any]
) -> None:
    """For any values."""
    model = {"names": tuple(names)} if names else {}
    job = Job(
        input=Input(path=tuple(path), limit=limit),
        model=Model(**model, stop=stop, temperature=temperature, extra_body=extra),
        output=Output(keep=keep),
    )
    assert job_from_dict(orjson.loads(orjson.dumps(job_to_dict(job)))) == job


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"jury": {}}, "jury"),
        ({"limits": {"max_joules": 1}}, "limits.max_joules"),
        ({"prices": {"m": {"usd_per_image": 1}}}, 'prices."m".usd_per_image'),
        ({"limits": {"max_attempts": 0}}, "max_attempts = 0"),
    ],
)
def test_settings_of_a_newer_version_are_named(change: dict[str, Any], problem: str) -> None:
    """A section, a setting or a value that this version does not know."""
    with pytest.raises(UnknownSettingError, match=problem):
        job_from_dict(job_to_dict(Job(input=INPUT)) | change)
