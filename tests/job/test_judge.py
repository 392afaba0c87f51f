"""The section `[judge]`."""

from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.job.engine import Engine
from batchrun.job.file import load_job
from batchrun.job.judge import Judge
from batchrun.job.judging import judge_job, stated_setting
from batchrun.job.sections import Endpoint, Evaluate, Input, Job, Limits, Model, Output
from batchrun.job.settings import SettingError

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"grade": {"enum": ["A", "B"]}, "why": {"type": "string"}}}


def test_the_reason_comes_before_the_label() -> None:
    """A label that was given first would only be justified."""
    schema = Judge(model="m").answer_schema
    assert list(schema["properties"]) == ["reason", "label"]
    assert schema["properties"]["label"]["enum"] == ["correct", "incorrect"]


@pytest.mark.parametrize(
    ("given", "score"), [("good", 1), ("bad", -2.5), ("other", None), (3, 3), (True, 1), (None, None), ([1], None)]
)
def test_a_label_a_number_and_a_truth_value_have_a_score(given: Any, score: float | None) -> None:
    """Anything else has none."""
    assert Judge(model="j", template="…", labels={"good": 1, "bad": -2.5}).value_of(given) == score


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({"model": None, "mode": "none"}, "model", "must name the model that judges"),
        ({"labels": {"good": 1}}, "labels", "two labels or more"),
        ({"labels": {"good": "yes", "bad": 0}}, "labels", "label → score: must be a number"),
        ({"labels": {"good": 1, "bad": 0}}, "labels", "need judge.template"),
        ({"score": "stars"}, "score", "there is no schema"),
        ({"schema": SCHEMA}, "schema", "needs judge.template"),
        ({"schema": SCHEMA, "template": "…"}, "score", "its properties are grade, why"),
        ({"schema": SCHEMA, "template": "…", "score": "grade"}, "labels", 'must have a score for "A"'),
        ({"endpoint": {"key": "sk"}}, "endpoint", "not key"),
        ({"endpoint": {"base_url": "judge"}}, "endpoint", "must be a URL"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(settings: Any, key: str, message: str) -> None:
    """The message names what is missing."""
    with pytest.raises(SettingError) as refused:
        Judge(**{"model": "j", **settings})
    assert refused.value.key == key
    assert message in refused.value.must


def job(**changes: Any) -> Job:
    parts: dict[str, Any] = {
        "input": Input(path=("in.jsonl",)),
        "model": Model(names=("m",), temperature=1, max_tokens=9),
        "output": Output(dir="out"),
        "limits": Limits(max_cost_usd=1),
        "judge": Judge(model="j"),
    }
    return Job(**parts | changes)


def test_the_judge_has_the_limits_and_the_endpoint_of_the_job() -> None:
    """Its own endpoint takes the place of the job's. Equal answers are judged once."""
    asked = judge_job(job())
    assert (asked.models, asked.limits.max_cost_usd, asked.endpoint) == (("j",), 1, job().endpoint)
    assert asked.model.parameters() == {"temperature": 0}
    assert asked.input.dedupe
    other = judge_job(job(judge=Judge(model="j", endpoint={"base_url": "https://judge.test/v1"}, temperature=1)))
    assert other.endpoint == Endpoint(base_url="https://judge.test/v1")
    assert not other.input.dedupe
    keyed = judge_job(job(judge=Judge(model="j", endpoint={"api_key_env": "KEY"})))
    assert keyed.endpoint == Endpoint(api_key_env="KEY", base_url=job().endpoint.base_url)


def test_the_judge_is_asked_from_where_the_job_sends() -> None:
    """Also by the workers of a cluster: a base URL of loopback means their nodes."""
    engine = Engine(kind="ray", address="10.0.0.1:6379", workers=3)
    assert judge_job(job(engine=engine)).engine == engine
    assert judge_job(job()).engine.kind == "local"


def test_what_changed_is_named_as_the_job_file_names_it() -> None:
    """Only in the job of a judge."""
    names = ["model.name", "model.temperature", "prompt.user", "the input"]
    renamed = ["judge.model", "judge.temperature", "judge.template", "the answers"]
    assert [stated_setting(judge_job(job()), name) for name in names] == renamed
    assert [stated_setting(job(evaluate=Evaluate()), name) for name in names] == names


def test_an_empty_section_is_not_a_job_without_a_judge(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[input]\npath = "a.csv"\n[judge]\n')
    with pytest.raises(JobError, match=r'a\.toml: judge\.model = ""; must name the model that judges'):
        load_job(tmp_path / "a.toml")


def several(**judge: Any) -> Job:
    return Job(
        input=Input(path=("in.jsonl",)),
        model=Model(name="m"),
        endpoints={
            "a": Endpoint(base_url="http://127.0.0.1:1/v1", models=["m"]),
            "b": Endpoint(base_url="http://127.0.0.1:2/v1", models={"j": "judge-fp8"}),
        },
        judge=Judge(**judge),
    )


def test_a_judge_is_asked_where_its_model_is_served() -> None:
    """Unless it has an endpoint itself."""
    assert judge_job(several(model="j")).serving("j") == {"b": "judge-fp8"}
    own = judge_job(several(model="x", endpoint={"base_url": "http://127.0.0.1:3/v1"}))
    assert (list(own.endpoints), own.endpoint.base_url) == ([""], "http://127.0.0.1:3/v1")


def test_a_judge_that_no_endpoint_serves_is_refused() -> None:
    with pytest.raises(JobError, match=r'judge\.model = "x"; must be one of the models of an endpoint \(m, j\)'):
        judge_job(several(model="x"))
    with pytest.raises(JobError, match=r"judge\.endpoint must have a base_url or a provider"):
        judge_job(several(model="j", endpoint={"api_key_env": "K"}))
