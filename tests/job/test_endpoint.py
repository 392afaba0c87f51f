"""An endpoint is checked when it is made."""

from typing import Any

import pytest

from batchrun.job.endpoint import Endpoint
from batchrun.job.settings import SettingError


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


def test_an_identity_tells_projects_keys_and_queries_at_one_url_apart() -> None:
    """It names variables, never a secret, and settings of another kind are never taken for each other."""
    url = "http://127.0.0.1:9/v1"
    same = [Endpoint(base_url=url), Endpoint(base_url=f"{url}/", models=["m"], max_concurrency=3)]
    assert {each.identity for each in same} == {f"{url}#"}
    apart = [
        *same[:1],
        Endpoint(base_url=url, project="t/a"),
        Endpoint(base_url=url, project="t/b"),
        Endpoint(base_url=url, query={"project": "t/b", "x": "1"}),
        Endpoint(base_url=url, api_key_env="A"),
        Endpoint(base_url=url, headers={"api-key": {"env": "A"}}),
    ]
    assert len({each.identity for each in apart}) == len(apart)
