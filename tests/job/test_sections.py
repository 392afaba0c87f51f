"""A job and its sections are checked when they are made."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from batchrun.job.sections import SECTIONS, Endpoint, Input, Job, Model, Output
from batchrun.job.settings import SettingError

INPUT = Input(path=("a.jsonl",))


@pytest.mark.parametrize(
    ("given_", "provider", "base_url"),
    [
        ({}, "wandb", "https://api.inference.wandb.ai/v1"),
        ({"provider": "openai"}, "openai", "https://api.openai.com/v1"),
        ({"base_url": "https://host/v1/"}, "custom", "https://host/v1"),
        ({"provider": "wandb", "base_url": "https://other/v1"}, "wandb", "https://other/v1"),
        ({"provider": "custom", "base_url": "http://localhost:1/v1"}, "custom", "http://localhost:1/v1"),
    ],
)
def test_provider_and_base_url_complete_each_other(given_: dict[str, Any], provider: str, base_url: str) -> None:
    """One of the two is enough; a base URL alone is a custom endpoint."""
    endpoint = Endpoint(**given_)
    assert (endpoint.provider, endpoint.base_url) == (provider, base_url)


def test_a_custom_provider_needs_a_base_url() -> None:
    """Its address cannot be guessed."""
    with pytest.raises(SettingError, match=r"base_url.*must be given when the provider is custom"):
        Endpoint(provider="custom")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "http://127.9.9.9/v1",
        "http://localhost/v1",
        "http://LOCALHOST/v1",
        "http://vllm.localhost:1/v1",
        "http://[::1]:8000/v1",
    ],
)
def test_http_to_this_machine_is_allowed(url: str) -> None:
    """Nothing leaves the machine."""
    assert Endpoint(base_url=url).is_loopback


@pytest.mark.parametrize(
    "url",
    [
        "http://host/v1",
        "http://10.0.0.5:8000/v1",
        "http://127.0.0.1.example.com/v1",
        "http://localhost.example.com/v1",
        "http://0.0.0.0:8000/v1",
    ],
)
def test_http_to_another_host_is_refused_unless_asked_for(url: str) -> None:
    """The key would travel unencrypted; the message names the flag that allows it."""
    with pytest.raises(SettingError, match=r"must be https: .*--allow-http"):
        Endpoint(base_url=url)
    assert not Endpoint(base_url=url, allow_http=True).is_loopback


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
