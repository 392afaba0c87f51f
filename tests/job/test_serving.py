"""Which endpoint is asked for which model."""

import pytest

from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Model
from batchrun.job.serving import plain_name, replica_names, serving
from batchrun.job.settings import SettingError

INPUT = Input(path="a.jsonl")


def at(port: int, **settings: object) -> Endpoint:
    return Endpoint(base_url=f"http://127.0.0.1:{port}/v1", **settings)  # type: ignore[arg-type]


def test_an_endpoint_that_names_no_models_serves_those_that_no_other_names() -> None:
    """And replicas serve the same."""
    endpoints = {"a": at(1), "b": at(2), "c": at(3, models={"big": "org/big-fp8"}), "d": at(4, models=["big", "small"])}
    assert serving(endpoints, "other") == {"a": "other", "b": "other"}
    assert serving(endpoints, "big") == {"c": "org/big-fp8", "d": "big"}
    assert serving(endpoints, "small") == {"d": "small"}
    assert serving({"d": endpoints["d"]}, "other") == {}


def test_a_job_with_one_endpoint_has_it_without_a_name() -> None:
    job = Job(input=INPUT, endpoint=at(1), model=Model(name="m"))
    assert (job.endpoints, job.has_several_endpoints) == ({"": at(1)}, False)
    assert job.serving("m") == {"": "m"}


def test_the_first_of_several_endpoints_stands_where_one_is_enough() -> None:
    job = Job(input=INPUT, endpoints={"x": at(1), "y": at(2)})
    assert (job.endpoint, job.has_several_endpoints) == (at(1), True)
    with pytest.raises(SettingError, match="must not be set together with endpoints"):
        Job(input=INPUT, endpoint=at(3), endpoints={"x": at(1), "y": at(2)})


@pytest.mark.parametrize(
    ("endpoints", "message"),
    [
        (
            {"a": at(1, models=["n"]), "b": at(2, models=["o"])},
            r"'m': must be one of the models of an endpoint \(n, o\)",
        ),
        ({"a": at(1, models=["mm"]), "b": at(2, models=["o"])}, r"an endpoint \(mm, o\); did you mean mm\?"),
        ({"": at(1), "b": at(2)}, "must have a name of at most 100 letters"),
        ({"a b": at(1), "b": at(2)}, "must have a name of at most 100 letters, .* without spaces"),
        ({"a": at(1), "a [2]": at(2)}, r'a \[2\]".*must have a name of .* without spaces'),
        ({"a (batch)": at(1)}, "must have a name of .* without spaces"),
        ({"a": at(1), "b": at(1)}, "is the endpoint of a again"),
    ],
)
def test_endpoints_that_do_not_fit_together_are_refused(endpoints: dict[str, Endpoint], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Job(input=INPUT, model=Model(name="m"), endpoints=endpoints)


def test_replicas_at_addresses_of_ipv6_have_names() -> None:
    """An address begins with a bracket."""
    urls = ["http://[::1]:1/v1", "http://[::1]:2/v1"]
    endpoints = {name: Endpoint(base_url=url) for name, url in replica_names(urls).items()}
    assert list(Job(input=INPUT, model=Model(name="m"), endpoints=endpoints).endpoints) == ["[::1]:1", "[::1]:2"]


def test_a_model_that_an_only_endpoint_does_not_name_is_refused() -> None:
    with pytest.raises(SettingError, match="must be one of the models of the endpoint"):
        Job(input=INPUT, model=Model(name="m"), endpoint=at(1, models=["n"]))


def test_two_projects_or_keys_at_one_url_are_two_endpoints() -> None:
    """Each has a limit of its own."""
    both = {"a": at(1, project="t/a"), "b": at(1, project="t/b"), "c": at(1, api_key_env="OTHER")}
    assert len(Job(input=INPUT, endpoints=both).endpoints) == 3


def test_the_prefix_of_litellm_is_taken_off_where_wandb_is_among_the_endpoints() -> None:
    """W&B does not know it, and elsewhere it may be part of the name."""
    wandb, other = Endpoint(models=["wandb/meta/a"]), at(1)
    assert plain_name("wandb/x", {"": other}) == "wandb/x"
    job = Job(input=INPUT, model=Model(names=["wandb/meta/a", "b"]), endpoints={"w": wandb, "o": other})
    assert job.models == ("meta/a", "b")
    assert (job.serving("meta/a"), job.serving("b")) == ({"w": "meta/a"}, {"o": "b"})


def test_replicas_are_named_after_host_and_port() -> None:
    """With the path where these are not enough."""
    assert list(replica_names(["http://h:1/v1", "http://h:2/v1/"])) == ["h:1", "h:2"]
    assert list(replica_names(["http://h:1/a/v1", "http://h:1/b/v1", "https://g/v1"])) == ["h:1/a/v1", "h:1/b/v1", "g"]
    with pytest.raises(SettingError, match="is given twice"):
        replica_names(["http://h:1/v1", "http://h:1/v1/"])
