"""What each provider takes in one batch. One table, pure."""

from typing import NamedTuple
from urllib.parse import urlsplit


class Most(NamedTuple):
    """The largest batch."""

    requests: int
    size_bytes: int
    """Of the file."""


USUAL = Most(50_000, 200_000_000)
"""OpenAI's, also assumed of endpoints that are not in the table. Source: OpenAI's reference, `POST /batches`."""

_TABLE = {
    "api.openai.com": USUAL,
    "openai.azure.com": USUAL,  # Microsoft's reference, "Create a batch"; 100,000 requests in some regions
    "services.ai.azure.com": USUAL,
    "api.groq.com": USUAL,  # Groq's page on batches
    "api.together.xyz": Most(50_000, 100_000_000),  # Together's page on batches
    "api.together.ai": Most(50_000, 100_000_000),
}
"""Host, or the end of it → the largest batch."""

_OTHER_API = ("api.mistral.ai", "api.anthropic.com", "generativelanguage.googleapis.com")
"""Hosts whose batches have another API than OpenAI's."""


def most_of(base_url: str) -> Most:
    """Return the largest batch that an endpoint takes."""
    host = urlsplit(base_url).hostname or ""
    return next((most for end, most in _TABLE.items() if host == end or host.endswith(f".{end}")), USUAL)


def has_other_api(base_url: str) -> bool:
    """Return whether the provider takes batches, but not by OpenAI's API."""
    return (urlsplit(base_url).hostname or "") in _OTHER_API
