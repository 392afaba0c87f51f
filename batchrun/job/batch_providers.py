"""How the batches of each provider differ from those of OpenAI: one table. Pure."""

from typing import NamedTuple
from urllib.parse import urlsplit


class Most(NamedTuple):
    """The largest batch."""

    requests: int
    size_bytes: int
    """Of the file."""


class BatchProvider(NamedTuple):
    """What a provider takes, and what it asks for it."""

    most: Most = Most(50_000, 200_000_000)
    factor: float = 0.5
    """What a request in a batch costs, as a share of the usual price."""
    purpose: str = "batch"
    """Of an uploaded file."""
    upload: str = "/files"
    """Path that files are uploaded to."""
    names_file: bool = False
    """Whether the form of an upload must have `file_name`."""
    takes_metadata: bool = True
    """Whether a batch may have metadata; else it is found again by its input file."""
    kinds: tuple[str, ...] = ("chat", "completions", "responses", "embeddings")
    """Kinds of requests."""


USUAL = BatchProvider()
"""OpenAI, also assumed of endpoints that are not in the table. Source: OpenAI's reference, `POST /batches`; the price
is that of OpenAI's and Azure's price pages."""

_TOGETHER = BatchProvider(
    Most(50_000, 100_000_000),
    factor=1.0,  # half of it for a few models only
    purpose="batch-api",
    upload="/files/upload",
    names_file=True,
    takes_metadata=False,
    kinds=("chat",),
)
"""Source: Together's pages "Batch inference" and "Upload a file"."""

_TABLE = {
    "api.openai.com": USUAL,
    "openai.azure.com": USUAL,  # Microsoft's reference, "Create a batch"; 100,000 requests in some regions
    "services.ai.azure.com": USUAL,
    "api.groq.com": BatchProvider(Most(50_000, 100_000_000), kinds=("chat",)),  # page "Batch", and Groq's own client
    "api.deepinfra.com": BatchProvider(factor=0.8, kinds=("chat", "completions", "embeddings")),  # page "Batch API"
    "api.together.xyz": _TOGETHER,
    "api.together.ai": _TOGETHER,
}
"""Host, or the end of it → its batches."""

_OTHER_API = {
    "api.mistral.ai": "Mistral",
    "api.anthropic.com": "Anthropic",
    "generativelanguage.googleapis.com": "Gemini",
    "api.fireworks.ai": "Fireworks",
}
"""Hosts whose batches have another API than OpenAI's. Source: their references."""


def batch_provider(base_url: str) -> BatchProvider:
    """Return what is known of the batches of an endpoint."""
    host = urlsplit(base_url).hostname or ""
    return next((found for end, found in _TABLE.items() if host == end or host.endswith(f".{end}")), USUAL)


def other_api(base_url: str) -> str | None:
    """Return the name of a provider that takes batches, but not by OpenAI's API; None for all others."""
    return _OTHER_API.get(urlsplit(base_url).hostname or "")
