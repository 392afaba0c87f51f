import pytest

from batchrun.endpoint.batches.providers import Most, has_other_api, most_of


@pytest.mark.parametrize(
    ("base_url", "most"),
    [
        ("https://api.openai.com/v1", Most(50_000, 200_000_000)),
        ("https://my-resource.openai.azure.com/openai/v1", Most(50_000, 200_000_000)),
        ("https://api.together.xyz/v1", Most(50_000, 100_000_000)),
        ("http://127.0.0.1:8000/v1", Most(50_000, 200_000_000)),
    ],
)
def test_each_provider_has_its_largest_batch(base_url: str, most: Most) -> None:
    assert most_of(base_url) == most


def test_providers_with_another_api_are_known() -> None:
    assert has_other_api("https://api.mistral.ai/v1")
    assert not has_other_api("https://api.groq.com/openai/v1")
