"""A job and its sections are checked when they are made."""

import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from batchrun.job.endpoint import Endpoint
from batchrun.job.judge import Judge
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import SECTIONS, Input, Job, Limits, Model, Output, Response
from batchrun.job.settings import SettingError, key_of

INPUT = Input(path=("a.jsonl",))


@pytest.mark.parametrize(
    ("endpoint", "models"),
    [
        (Endpoint(), ("meta/a", "wandb-artifact:///t/p/n:v1")),
        (Endpoint(base_url="https://litellm/v1"), ("wandb/meta/a", "wandb-artifact:///t/p/n:v1")),
    ],
)
def test_litellms_prefix_is_stripped_for_wandb_alone(endpoint: Endpoint, models: tuple[str, ...]) -> None:
    """A LiteLLM proxy needs the prefix, and the name of an artifact is not a prefix."""
    job = Job(input=INPUT, endpoint=endpoint, model=Model(names=("wandb/meta/a", "wandb-artifact:///t/p/n:v1")))
    assert job.models == models


def test_a_model_that_is_named_twice_is_asked_once() -> None:
    """Also when two names mean one model. To get several answers of one model, use samples."""
    assert Job(input=INPUT, model=Model(names=("b", "wandb/a", "a", "b"))).models == ("b", "a")


def test_parameters_are_those_of_the_job_and_those_passed_through() -> None:
    """The body has no parameter that the job does not set."""
    model = Model(names=("m",), temperature=0, stop="END", extra_body={"top_k": 5})
    assert model.parameters() == {"temperature": 0, "stop": ("END",), "top_k": 5}


def test_the_run_directory_follows_the_jobs_name() -> None:
    """Unless `output.dir` is set."""
    assert Job(name="labels", input=INPUT).run_directory == Path("runs/labels")
    assert Job(input=INPUT, output=Output(dir="/x")).run_directory == Path("/x")


def test_samples_fit_into_the_numbering_of_the_checkpoint() -> None:
    """A higher number would count as an answer of the next model."""
    assert Model(num_samples=65_536).num_samples == 65_536
    with pytest.raises(SettingError, match="num_samples"):
        Model(num_samples=65_537)


@pytest.mark.parametrize("each", [field for kind in SECTIONS.values() for field in fields(kind)], ids=lambda f: f.name)
def test_every_setting_is_documented_in_one_line(each: Any) -> None:
    """The reference and `--help` are made of these lines."""
    assert each.metadata["doc"]
    assert "\n" not in each.metadata["doc"]
    assert callable(each.metadata["check"])


def test_a_job_has_no_place_for_a_key() -> None:
    """It holds only the name of the variable; no setting takes the key."""
    settings = [each.name for kind in SECTIONS.values() for each in fields(kind)]
    assert [name for name in settings if "key" in name] == ["api_key_env"]


def test_sections_take_the_names_of_the_job_file() -> None:
    """`name` and `names`, `patience="12h"`; a copy keeps them."""
    model, limits = Model(name="a"), Limits(patience="12h", max_duration=90)
    assert (model.names, limits.patience_s, limits.max_duration_s) == (("a",), 43_200, 90)
    assert replace(limits, patience_s=5.0).patience_s == 5
    assert replace(limits, max_attempts=1).patience_s == 43_200
    with pytest.raises(SettingError, match="patience = '12h': must not be set together with patience_s"):
        Limits(patience="12h", patience_s=5)
    with pytest.raises(SettingError, match="patience = 'soon': must be a duration"):
        Limits(patience="soon")


@pytest.mark.parametrize("kind", SECTIONS.values())
def test_a_section_has_an_argument_for_every_name_of_the_job_file(kind: type) -> None:
    assert {key_of(each) for each in fields(kind)} <= set(inspect.signature(kind).parameters)


class Label(BaseModel):
    """The form of an answer, and of a judgment."""

    label: Literal["correct", "incorrect"]


def test_a_schema_can_be_a_model_class() -> None:
    """Of pydantic; what is kept is its JSON Schema."""
    assert Response(schema=Label).schema == Label.model_json_schema()
    judge = Judge(model="j", template="{{ answer }}", schema=Label, score="label")
    assert judge.answer_schema == Label.model_json_schema()


@pytest.mark.parametrize(
    ("kind", "name"), [(Response, "schema"), (Judge, "schema"), (Model, "tools"), (PromptTemplates, "examples")]
)
def test_a_section_has_what_the_file_holds(kind: type, name: str) -> None:
    """Only a job file and `answer` read files."""
    with pytest.raises(SettingError, match=f"{name} = 'file.json': must be what the file holds"):
        kind(**{name: "file.json"})


def test_a_judge_takes_an_endpoint_as_a_section() -> None:
    """As a job does; what is kept are the settings that are stated."""
    url = "http://localhost:1/v1"
    assert Judge(model="j", endpoint=Endpoint(base_url=url)) == Judge(
        model="j", endpoint={"provider": "custom", "base_url": url}
    )


def test_sections_take_paths_texts_and_lists() -> None:
    """What is read is always the same type."""
    assert Input(path=Path("a.csv")).path == Input(path="a.csv").path == Input(path=["a.csv"]).path == ("a.csv",)
    assert Output(dir=Path("runs/x"), keep="a") == Output(dir="runs/x", keep=["a"])


@pytest.mark.parametrize("kind", SECTIONS.values())
def test_help_lists_every_setting(kind: type) -> None:
    """With its line of documentation, under its name in the job file."""
    for each in fields(kind):
        assert f"    {each.metadata['key'] or each.name}: {each.metadata['doc']}" in (kind.__doc__ or "")
