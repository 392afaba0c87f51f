"""How many tokens a request has, estimated from its characters by kind of script. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from batchrun.prompts.kinds.asked import texts_in, tokens_in
from batchrun.prompts.size import asked_tokens, attached_parts, file_tokens
from batchrun.records import RequestKind

_LETTER_TOKENS = 0.225
"""Of ASCII letters and spaces: with the punctuation and digits of prose, a token to four characters.

Sources: OpenAI's help pages (a token is about 4 characters of English), Alibaba's for Qwen (3 to 4), DeepSeek's (0.3
tokens a character), Cohere's table for its multilingual tokenizer (4.4 to 4.8 for English, German, French, Spanish).
The weights below fit the same pages (Chinese: 0.6 at DeepSeek, 1.5 to 1.8 characters a token at Alibaba)."""


class _Kind(NamedTuple):
    characters: bytes
    """The byte that each of them begins with in UTF-8."""
    tokens: float
    """To one of them."""


_ASCII_KINDS = (
    _Kind(b"0123456789", 0.5),  # up to three to a token (Llama 3, GPT), or one (Qwen, Gemma)
    _Kind(bytes(set(range(0x21, 0x7F)) - set(b"0123456789") - set(range(0x41, 0x5B)) - set(range(0x61, 0x7B))), 0.5),
    _Kind(bytes(set(range(0x20)) | {0x7F}), 0.35),  # line breaks, which often come in pairs, and tabs
)
_OTHER_KINDS = (
    _Kind(bytes(range(0xC2, 0xCE)), 0.5),  # Latin letters with accents: they break words
    _Kind(bytes(range(0xCE, 0xD5)), 0.4),  # Greek, Cyrillic
    _Kind(bytes(range(0xD5, 0xE0)), 0.5),  # Hebrew, Arabic
    _Kind(b"\xe0\xe1", 0.7),  # scripts of India and South-East Asia
    _Kind(b"\xe2", 0.5),  # dashes, quotation marks, symbols
    _Kind(bytes(range(0xE3, 0xF0)), 0.65),  # Chinese, Japanese, Korean
    _Kind(bytes(range(0xF0, 0xF5)), 2.0),  # emoji
)
_ASCII = bytes(range(0x80))

_MESSAGE_TOKENS = 4
"""What a chat template adds to a message, about. Source: ChatML: two marks, the role, a line break."""


def text_tokens(text: str) -> float:
    """Return about how many tokens a text has. Costs a few passes over its bytes, at the speed of memory."""
    data = text.encode("utf-8", "surrogatepass")
    length = len(data)
    tokens, plain = 0.0, length
    for characters, weight in _ASCII_KINDS:
        count = length - len(data.translate(None, characters))
        tokens += weight * count
        plain -= count
    if text.isascii():
        return tokens + _LETTER_TOKENS * plain
    rest = data.translate(None, _ASCII)
    tokens += _LETTER_TOKENS * (plain - len(rest))
    return tokens + sum(weight * (len(rest) - len(rest.translate(None, first))) for first, weight in _OTHER_KINDS)


class Counted(NamedTuple):
    """The size of a request, from its body."""

    tokens: float
    """Of the prompt, files included and images not; estimated."""
    images: int
    bound: int | None
    """Longest answer that it allows, in tokens; None without a bound."""


def count_request(
    body: Mapping[str, Any], tokens_of: Callable[[str], float] = text_tokens, kind: RequestKind = "chat"
) -> Counted:
    """Return the size of a request of this kind, by what counts the tokens of a text."""
    messages = body.get("messages", ())
    tokens = sum(map(tokens_of, texts_in(body))) + tokens_in(body) + _MESSAGE_TOKENS * len(messages)
    parts = list(attached_parts(body))
    others = [part for part in parts if part.kind != "image_url"]
    return Counted(tokens + sum(map(file_tokens, others)), len(parts) - len(others), asked_tokens(body, kind))


def text_density(bodies: Iterable[bytes]) -> float:
    """Return the tokens for each byte of text in the bodies of requests, as estimated; of prose where there is none."""
    texts = [text for body in bodies for text in texts_in(orjson.loads(body))]
    size_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return sum(map(text_tokens, texts)) / size_bytes if size_bytes else _LETTER_TOKENS
