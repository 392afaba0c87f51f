import pytest

from batchrun.job.batch_providers import Most, batch_provider, other_api


@pytest.mark.parametrize(
    ("base_url", "most", "factor"),
    [
        ("https://api.openai.com/v1", Most(50_000, 200_000_000), 0.5),
        ("https://my-resource.openai.azure.com/openai/v1", Most(50_000, 200_000_000), 0.5),
        ("https://api.groq.com/openai/v1", Most(50_000, 100_000_000), 0.5),
        ("https://api.deepinfra.com/v1/openai", Most(50_000, 200_000_000), 0.8),
        ("https://api.together.xyz/v1", Most(50_000, 100_000_000), 1.0),
        ("http://127.0.0.1:8000/v1", Most(50_000, 200_000_000), 0.5),
    ],
)
def test_each_provider_has_its_largest_batch_and_its_price(base_url: str, most: Most, factor: float) -> None:
    found = batch_provider(base_url)
    assert (found.most, found.factor) == (most, factor)


def test_together_is_uploaded_to_elsewhere() -> None:
    found = batch_provider("https://api.together.ai/v1")
    assert (found.upload, found.purpose, found.names_file, found.takes_metadata) == (
        "/files/upload",
        "batch-api",
        True,
        False,
    )


def test_providers_with_another_api_are_known() -> None:
    assert other_api("https://api.mistral.ai/v1") == "Mistral"
    assert other_api("https://api.fireworks.ai/inference/v1") == "Fireworks"
    assert other_api("https://api.groq.com/openai/v1") is None
