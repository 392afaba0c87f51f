"""A job and its sections are checked when they are made."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import SECTIONS, Input, Job, Model, Output
from batchrun.job.settings import SettingError

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
