"""Arguments of a call → a job."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import batchrun
from batchrun.api.arguments import flat_settings, job_for_call
from batchrun.errors import JobError
from batchrun.job.sections import SECTIONS, Job


class Label(BaseModel):
    label: str


def job(**arguments: Any) -> Job:
    return job_for_call(("rows.csv",), Path("runs/labels"), arguments)


def test_settings_need_no_section() -> None:
    """They have the names of the job file, also those that a field does not have."""
    made = job(prompt="{{ text }}", model="m", temperature=0, max_cost_usd=5, patience="2h", keep=["text"], stop="x")
    assert (made.name, made.output.dir, made.input.path) == ("labels", "runs/labels", ("rows.csv",))
    assert (made.prompt.user, made.models, made.model.temperature) == ("{{ text }}", ("m",), 0)
    assert (made.limits.max_cost_usd, made.limits.patience_s) == (5, 7200)
    assert (made.output.keep, made.model.stop) == (("text",), ("x",))


def test_a_call_is_like_a_job_file_and_not_like_flags() -> None:
    """A row that states its own temperature keeps it."""
    assert job(model="m", temperature=0).by_flag == ()


def test_what_is_none_is_not_given() -> None:
    assert job(model=None, temperature=None) == job()


def test_several_models_are_a_list() -> None:
    assert job(model=["a", "b"]).models == ("a", "b")
    with pytest.raises(JobError, match=r'model = "a, b"; must be one model; for several: model = \["a", "b"\]'):
        job(model="a, b")


@pytest.mark.parametrize(
    "section",
    [{"target": "label", "scorer": "contains"}, batchrun.Evaluate(target="label", scorer="contains")],
)
def test_a_section_can_be_given_as_a_whole(section: Any) -> None:
    """As a dict with the names of the job file, or as an object; a setting by its name beats it."""
    assert job(evaluate=section, scorer="exact").evaluate == batchrun.Evaluate(target="label", scorer="exact")
    assert job(limits={"patience": "1h"}).limits.patience_s == 3600
    assert job(limits=batchrun.Limits(patience_s=3600)).limits.patience_s == 3600


def test_several_endpoints_are_a_dict_or_several_base_urls() -> None:
    """A limit by its name alone is that of the whole job."""
    urls = ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]
    made = job(endpoints={"a": batchrun.Endpoint(base_url=urls[0]), "b": {"base_url": urls[1], "models": ["m"]}})
    assert (list(made.endpoints), made.serving("m")) == (["a", "b"], {"b": "m"})
    made = job(base_url=urls, max_concurrency=7)
    assert list(made.endpoints) == ["127.0.0.1:1", "127.0.0.1:2"]
    assert (made.limits.max_concurrency, made.endpoint.max_concurrency) == (7, None)
    with pytest.raises(JobError, match=r"endpoints\.a: must have a base_url or a provider"):
        job(endpoints={"a": {"models": ["m"]}})
    with pytest.raises(JobError, match="must be a dict"):
        job(endpoints=urls)
    with pytest.raises(JobError, match="api_key_env: the job has several endpoints"):
        job(endpoints={"a": {"base_url": urls[0]}, "b": {"base_url": urls[1]}}, api_key_env="K")


def test_a_schema_is_a_dict_a_path_or_a_model_class(tmp_path: Path) -> None:
    schema = Label.model_json_schema()
    (tmp_path / "label.json").write_text('{"type": "object", "properties": {"label": {"type": "string"}}}')
    assert job(schema=Label).response.schema == job(schema=schema).response.schema == schema
    assert job(schema=tmp_path / "label.json").response.schema == {
        "type": "object",
        "properties": {"label": {"type": "string"}},
    }
    with pytest.raises(JobError, match="schema = int; must be a JSON Schema"):
        job(schema=int)


def test_keys_of_the_body_are_sent_as_they_are() -> None:
    assert job(top_k=5, reasoning_effort="low").model.extra_body == {"top_k": 5, "reasoning_effort": "low"}


def test_prices_are_objects_or_dicts() -> None:
    price = batchrun.Price(input_usd_per_mtok=1.0)
    assert job(prices={"m": {"input_usd_per_mtok": 1.0}}).prices == job(prices={"m": price}).prices == {"m": price}
    with pytest.raises(JobError, match="prices = 5; must be a dict"):
        job(prices=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temprature": 0}, "temprature is unknown; did you mean temperature? (to send it to the endpoint unchanged:"),
        ({"max_cost": 5}, "max_cost is unknown; did you mean max_cost_usd?"),
        ({"template": "x"}, "template is unknown; did you mean prompt?"),
        ({"retry_faild": True}, "retry_faild is unknown; did you mean retry_failed?"),
        ({"dir": "x"}, "dir is unknown; did you mean out?"),
        (
            {"frobnicate": 1},
            'frobnicate is unknown; to send it to the endpoint unchanged: extra_body={"frobnicate": …}',
        ),
        ({"strict": True}, 'strict is a setting of several sections; write input={"strict": …} or response={"strict"'),
        ({"temperature": 3}, "temperature = 3; must be at most 2"),
        ({"limits": {"patience": "soon"}}, 'limits.patience = "soon"; must be a duration'),
        ({"limits": {"patiense": "1h"}}, "limits.patiense is unknown; did you mean patience?"),
        ({"limits": batchrun.Evaluate()}, "limits is a Evaluate; must be a Limits, or a dict"),
        ({"then": "echo"}, "then is unknown; do it in Python, after the call"),
        ({"schema": 5}, "schema = 5; must be a JSON Schema (dict), a path, or a pydantic model class"),
        ({"limits": 5}, "limits = 5; must be a Limits, or a dict of its settings"),
        ({"n": 3}, "n is unknown; did you mean num_samples?"),
        ({"prices": {"m": {"input_usd": 1}}}, 'prices["m"].input_usd is unknown; did you mean input_usd_per_mtok?'),
        ({"prices": {"m": {"input_usd_per_mtok": -1}}}, 'prices["m"].input_usd_per_mtok = -1; must be at least 0'),
        ({"prices": {"m": 5}}, "prices = {'m': 5}; must be a dict"),
    ],
)
def test_a_wrong_argument_is_named_as_it_was_written(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match="^" + re.escape(message)):
        job(**arguments)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"prompt": "{{ text }}", "messages": [{"role": "user", "content": "x"}]}, "prompt and messages"),
        ({"prompt": {"user": "x", "messages": ["{{ m }}"]}}, 'prompt={"user": …} and prompt={"messages": …}'),
        ({"input": {"run": "runs/a"}}, 'data and input={"run": …}'),
        ({"output": batchrun.Output(dir="runs/b")}, 'out and output={"dir": …}'),
        ({"schema": {"type": "object"}, "response": {"schema": {}}}, 'schema and response={"schema": …}'),
    ],
)
def test_two_arguments_for_one_thing_are_refused(arguments: dict[str, Any], names: str) -> None:
    """Neither of them is left out silently."""
    with pytest.raises(JobError, match="^" + re.escape(f"{names} are both set; keep one of them")):
        job(**arguments)


@pytest.mark.parametrize("judge", [{}, {"model": None}, batchrun.Judge()])
def test_a_judge_without_a_model_is_refused(judge: Any) -> None:
    with pytest.raises(JobError, match=r'^judge\.model = ""; must name the model that judges'):
        job(judge=judge)


def test_a_scorer_needs_a_target() -> None:
    """Its settings too."""
    for arguments in ({"scorer": "exact"}, {"field": "x"}, {"evaluate": {"pattern": "x"}}):
        with pytest.raises(JobError, match='has nothing to compare answers with; pass target="COLUMN"'):
            job(**arguments)
    assert job(scorer="number", evaluate={"target": "gold"}).evaluate.scorer == "number"


def test_every_setting_of_a_flat_section_can_be_given() -> None:
    """By its name, as a parameter of its own, or within its section."""
    flat = flat_settings()
    assert {"id", "limit", "system", "num_samples", "base_url", "patience", "keep", "mode", "target"} <= flat.keys()
    assert {"path", "user", "names", "schema", "dir", "strict"}.isdisjoint(flat)
    assert set(flat.values()) <= set(SECTIONS)
