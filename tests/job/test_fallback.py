"""Which model is asked in place of another: `model.fallback`."""

from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.file import load_job
from batchrun.job.sections import Input, Job, Model
from batchrun.job.serialization import job_from_dict, job_to_dict
from batchrun.job.settings import SettingError

INPUT = Input(path="a.jsonl")


def test_one_model_takes_the_name_of_its_fallback() -> None:
    job = Job(input=INPUT, model=Model(name="small", fallback="large"))
    assert job.fallbacks == {"small": "large"}
    assert job.models == ("small",)
    assert job.asked_models == ("small", "large")
    assert "fallback" not in job.model.parameters()


def test_several_models_take_a_table() -> None:
    """A fallback may be a model of the job, and have a fallback itself: it is asked once only."""
    model = Model(names=["a", "b", "c"], fallback={"a": "b", "b": "a"})
    assert Job(input=INPUT, model=model).fallbacks == {"a": "b", "b": "a"}
    assert Job(input=INPUT, model=model).asked_models == ("a", "b", "c")


def test_where_rows_name_their_models_a_table_names_them() -> None:
    assert Job(input=INPUT, model=Model(fallback={"small": "large"})).asked_models == ("large",)


def test_the_prefix_of_litellm_is_taken_off() -> None:
    model = Model(name="wandb/org/small", fallback="wandb/org/large")
    assert Job(input=INPUT, model=model).fallbacks == {"org/small": "org/large"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ["a", "b"], "fallback": "c"}, "must be a table in a job file.*the job has several models"),
        ({"fallback": "c"}, "must be a table in a job file.*the job names no model"),
        ({"name": "a", "fallback": {"b": "c"}}, r"must be of a model of the job \(a\)"),
        ({"name": "a", "fallback": "a"}, "must be another model"),
        ({"names": ["a", "b"], "fallback": {"b": "b"}}, "must be another model"),
        ({"name": "a", "fallback": ""}, "must be a non-empty string"),
        ({"name": "a", "fallback": {"a": 3}}, "must be a non-empty string"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Model(**settings)


def test_a_fallback_that_no_endpoint_serves_is_refused() -> None:
    endpoints = {"a": Endpoint(base_url="http://127.0.0.1:1/v1", models=["small"])}
    with pytest.raises(
        SettingError, match=r"model.fallback = 'large': must be one of the models of an endpoint \(small\)"
    ):
        Job(input=INPUT, endpoints=endpoints, model=Model(name="small", fallback="large"))


def test_a_job_file_states_it_and_a_message_names_the_place(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text('[input]\npath = "a.jsonl"\n[model]\nname = "small"\nfallback = "large"\n')
    assert load_job(file).fallbacks == {"small": "large"}
    assert load_job(file, {("model", "fallback"): ("--fallback", "huge")}).fallbacks == {"small": "huge"}
    file.write_text('[input]\npath = "a.jsonl"\n[model]\nname = "small"\nfallback = {small = "small"}\n')
    with pytest.raises(JobError, match=r'model\.fallback\."small" = "small"; must be another model'):
        load_job(file)


def test_a_job_comes_back_from_its_file_and_from_a_run_directory(tmp_path: Path) -> None:
    job = Job(input=INPUT, model=Model(names=["a", "b"], fallback={"a": "org/c-1.5"}))
    assert job_from_dict(job_to_dict(job)).fallbacks == job.fallbacks
    file = tmp_path / "job.toml"
    file.write_text(job.to_toml(tmp_path))
    assert load_job(file).fallbacks == {"a": "org/c-1.5"}
