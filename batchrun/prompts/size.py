"""How many tokens a request can use at most. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from batchrun.job.catalogue import context_tokens
from batchrun.records import Usage

_LONGEST_ANSWER_TOKENS = 131_072
"""Assumed of a model whose context window is not known, when nothing bounds its answer."""

_DATA_URL = b"data:"

_IMAGE_TOKENS = 1_600
"""Assumed of an image. Source: OpenAI's price page, up to 1,445; Qwen-VL and Llama 4 count fewer."""

_TEMPLATE_TOKENS = 200
"""What a model's chat template may add to a prompt."""


def worst_usage(model: str, body: bytes) -> Usage:
    """Return the most tokens that an attempt can use: one to every byte of the body, and the longest answer.

    An image that travels in the body is no text: what it counts nobody can tell, and the same is assumed of each.

    Args:
        model: its context window bounds the answer when the body does not.
        body: the JSON that is sent.
    """
    asked = orjson.loads(body)
    longest = asked_tokens(asked)
    if longest is None:
        longest = context_tokens(model) or _LONGEST_ANSWER_TOKENS
    prompt = len(body) + _TEMPLATE_TOKENS
    if _DATA_URL in body:
        sizes = [len(url) for url in _image_urls(asked) if url.startswith("data:")]
        prompt += len(sizes) * _IMAGE_TOKENS - sum(sizes)
    return Usage(prompt, longest)


def _image_urls(asked: Mapping[str, Any]) -> Iterator[str]:
    for message in asked["messages"]:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            image = part.get("image_url") if isinstance(part, dict) else None
            url = image.get("url") if isinstance(image, dict) else None
            if isinstance(url, str):
                yield url


def asked_tokens(body: Mapping[str, Any]) -> int | None:
    """Return the longest answer that a request allows, in tokens; None when it sets no bound."""
    longest = body.get("max_completion_tokens") or body.get("max_tokens")
    # To some servers -1 means: no bound.
    return longest if type(longest) is int and longest >= 0 else None
