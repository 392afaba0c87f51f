"""How many tokens a request uses: at most, for caps, and about, for rates. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from batchrun.job.catalogue import context_tokens
from batchrun.records import Usage

IMAGE_TOKENS_LOW, IMAGE_TOKENS_LIKELY, IMAGE_TOKENS_MOST = 85, 700, 1_600
"""Tokens of one image. Source: OpenAI's price page, 85 at low detail to 1,445; Qwen-VL and Llama 4 lie between."""

_LONGEST_ANSWER_TOKENS = 131_072
"""Assumed of a model whose context window is not known, when nothing bounds its answer."""

_TEMPLATE_TOKENS = 200
"""The most that a model's chat template is assumed to add to a prompt."""

_BYTES_PER_TOKEN = 4
"""Of a request's body. Source: OpenAI's rule of thumb for English."""

_IMAGE_KEY = b'"image_url"'


def worst_usage(model: str, body: bytes) -> Usage:
    """Return the most tokens that an attempt can use: one for every byte of the body, and the longest answer.

    An image counts as an image, not as the text that carries it.

    Args:
        model: its context window bounds the answer when the body does not.
        body: the JSON that is sent.
    """
    fields = orjson.loads(body)
    longest = asked_tokens(fields)
    if longest is None:
        longest = context_tokens(model) or _LONGEST_ANSWER_TOKENS
    images, data_bytes = _images_in(body, fields)
    return Usage(len(body) - data_bytes + images * IMAGE_TOKENS_MOST + _TEMPLATE_TOKENS, longest)


def expected_tokens(body: bytes) -> float:
    """Return about how many tokens a request's prompt has, at next to no cost; only images are looked for.

    Args:
        body: the JSON that is sent.
    """
    images, data_bytes = _images_in(body)
    return (len(body) - data_bytes) / _BYTES_PER_TOKEN + images * IMAGE_TOKENS_LIKELY


def asked_tokens(fields: Mapping[str, Any]) -> int | None:
    """Return the longest answer that a request allows, in tokens; None when it sets no bound.

    Args:
        fields: the body, parsed.
    """
    longest = fields.get("max_completion_tokens") or fields.get("max_tokens")
    # To some servers -1 means: no bound.
    return longest if type(longest) is int and longest >= 0 else None


def image_urls(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the URL of every image in a body, a data URL where the image itself is sent.

    Args:
        fields: the body, parsed.
    """
    for message in fields["messages"]:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            image = part.get("image_url") if isinstance(part, dict) else None
            url = image.get("url") if isinstance(image, dict) else None
            if isinstance(url, str):
                yield url


def _images_in(body: bytes, fields: Mapping[str, Any] | None = None) -> tuple[int, int]:
    """Return how many images a body has, and the bytes of those that travel in it; parses only where there are any."""
    if _IMAGE_KEY not in body:
        return 0, 0
    urls = list(image_urls(orjson.loads(body) if fields is None else fields))
    return len(urls), sum(len(url) for url in urls if url.startswith("data:"))
