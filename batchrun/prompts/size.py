"""How many tokens a request uses: at most, for caps, and about, for rates. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from batchrun.job.catalogue import context_tokens
from batchrun.prompts.kinds.table import SHAPES
from batchrun.records import RequestKind, Usage

IMAGE_TOKENS_LOW, IMAGE_TOKENS_LIKELY, IMAGE_TOKENS_MOST = 85, 700, 1_600
"""Tokens of one image. Source: OpenAI's price page, 85 at low detail to 1,445; Qwen-VL and Llama 4 lie between."""

_LONGEST_ANSWER_TOKENS = 131_072
"""Assumed of a model whose context window is not known, when nothing bounds its answer."""

_TEMPLATE_TOKENS = 200
"""The most that a model's chat template is assumed to add to a prompt."""

_BYTES_PER_TOKEN = 4
"""Of a request's body. Source: OpenAI's rule of thumb for English."""

_IN_PARTS = re.compile(rb'"content"\s*:\s*\[')
"""In every body with images or files. In a text the quotes have a backslash before them."""

_ESCAPE = b"\\u"
_SAVED_BYTES = 3
"""A character takes so many bytes fewer than its escape: mostly two or three instead of six."""

_PARTS = ("image_url", "file", "input_audio", "audio_url", "video_url")
"""Types of the parts that are not texts, and the keys that hold them."""

_FILE_BYTES_PER_TOKEN = {"file": 80, "input_audio": 1_300, "video_url": 1_300}
"""Of a file in base64. A guess: a page of PDF has about 75 kB and 1,300 tokens; a second of sound has 16 kB and 10
(OpenAI) to 32 tokens (Gemini), a second of video 250 kB and 260 (Gemini)."""

_FILE_TOKENS_ELSEWHERE = 5_000
"""Guessed of a file that is sent as a URL: nobody here knows how long it is."""


def worst_usage(model: str, body: bytes, kind: RequestKind = "chat") -> Usage:
    """Return the most tokens that an attempt can use: one for every byte of the body, the template, the longest answer.

    An image counts as an image, not as the text that carries it. Other files count as text, but a prompt with one
    has no more tokens than the model's context window.

    Args:
        model: its context window bounds the answer when the body does not.
        body: the JSON that is sent.
        kind: of the request.
    """
    fields = orjson.loads(body)
    longest = asked_tokens(fields, kind)
    if longest is None:
        longest = context_tokens(model) or _LONGEST_ANSWER_TOKENS
    parts = _parts_in(body, fields)
    images = [part for part in parts if part.kind == "image_url"]
    length = len(orjson.dumps(fields)) if _ESCAPE in body else len(body)
    most = length - sum(part.data_bytes for part in images) + len(images) * IMAGE_TOKENS_MOST + _TEMPLATE_TOKENS
    if len(images) < len(parts):
        window = context_tokens(model) or _LONGEST_ANSWER_TOKENS
        most = window if any(not part.data_bytes for part in parts) else min(most, window)
    return Usage(most, longest)


def expected_tokens(body: bytes) -> float:
    """Return about how many tokens a request's prompt has, at next to no cost; only images and files are looked for.

    Args:
        body: the JSON that is sent.
    """
    parts = _parts_in(body)
    length = len(body) - _SAVED_BYTES * body.count(_ESCAPE)
    if not parts:
        return length / _BYTES_PER_TOKEN
    others = [part for part in parts if part.kind != "image_url"]
    text_bytes = length - sum(part.data_bytes for part in parts)
    images = len(parts) - len(others)
    return text_bytes / _BYTES_PER_TOKEN + images * IMAGE_TOKENS_LIKELY + sum(map(file_tokens, others))


def asked_tokens(fields: Mapping[str, Any], kind: RequestKind = "chat") -> int | None:
    """Return the longest answer that a request allows, in tokens; None when it sets no bound.

    Args:
        fields: the body, parsed.
        kind: of the request.
    """
    if not SHAPES[kind].has_text:
        return 0
    names = ("max_completion_tokens", "max_tokens", "max_output_tokens")
    longest = next(filter(None, map(fields.get, names)), None)
    # To some servers -1 means: no bound.
    return longest if type(longest) is int and longest >= 0 else None


class AttachedPart(NamedTuple):
    """One part of a message that is not text."""

    kind: str
    """Its `type`."""
    data_bytes: int
    """Length of what travels in the request; 0 where it is elsewhere."""


def attached_parts(fields: Mapping[str, Any]) -> Iterator[AttachedPart]:
    """Yield the images and files of a body.

    Args:
        fields: the body, parsed.
    """
    for message in fields.get("messages", ()):
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            kind = next((name for name in _PARTS if name in part), None) if isinstance(part, dict) else None
            held = part[kind] if kind else None
            if kind and isinstance(held, dict):
                texts = [held[name] for name in ("url", "data", "file_data") if isinstance(held.get(name), str)]
                carried = [text for text in texts if kind == "input_audio" or text.startswith("data:")]
                yield AttachedPart(kind, sum(map(len, carried)))


def file_tokens(part: AttachedPart) -> float:
    """Return about how many tokens a file has that is not an image."""
    return part.data_bytes / _FILE_BYTES_PER_TOKEN.get(part.kind, 1_300) or _FILE_TOKENS_ELSEWHERE


def _parts_in(body: bytes, fields: Mapping[str, Any] | None = None) -> list[AttachedPart]:
    """Return the images and files of a body; parses only where there may be any."""
    if _IN_PARTS.search(body) is None:
        return []
    return list(attached_parts(orjson.loads(body) if fields is None else fields))
