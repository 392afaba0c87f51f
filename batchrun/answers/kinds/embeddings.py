"""The answers of `/embeddings`: a vector for each text, as base64 or as a list of numbers. Pure.

Source: OpenAI's reference; base64 holds 32-bit floats, the lowest byte first.
"""

import binascii
import sys
from array import array
from operator import itemgetter
from typing import Any, NamedTuple

from batchrun.answers.kinds.shape import Parsed, data_shape, first_of, items_of

FLOAT_BYTES = 4

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

_PADDINGS = (b"=", b"==")

Vector = str | bytes
"""32-bit floats, the lowest byte first; a text is their base64. Decoding takes longer than all else that is done with a
vector, so it waits until the numbers are needed."""


class Vectors(NamedTuple):
    """The vectors of the texts of one request, in the order of the texts."""

    vectors: tuple[Vector, ...]

    @property
    def decoded(self) -> tuple[bytes, ...]:
        """The vectors as 32-bit floats, the lowest byte first."""
        return tuple(map(floats_of, self.vectors))


def floats_of(vector: Vector) -> bytes:
    """Return the floats of a vector."""
    return binascii.a2b_base64(vector) if isinstance(vector, str) else vector


def with_numbers(reply: dict[str, Any]) -> dict[str, Any] | None:
    """Return a parsed body with its base64 as lists of numbers, as the API has them by default; None without any."""
    if not is_plain(reply):
        return None
    data = [_with_numbers(each) for each in reply["data"]]
    return None if data == reply["data"] else {**reply, "data": data}


def _with_numbers(entry: Any) -> Any:
    vector = entry.get("embedding") if isinstance(entry, dict) else None
    if not isinstance(vector, str) or (found := _vector(vector)) is None:
        return entry
    numbers = array("f", floats_of(found))
    if sys.byteorder == "big":
        numbers.byteswap()
    return {**entry, "embedding": numbers.tolist()}


def length_of(vector: Vector) -> int:
    """Return how many floats a vector has."""
    if isinstance(vector, str):
        return (len(vector) // 4 * 3 - vector.count("=", -2)) // FLOAT_BYTES
    return len(vector) // FLOAT_BYTES


def is_plain(reply: Any) -> bool:
    """Return whether one look shows that a parsed body can only be such an answer: there are millions of them."""
    if reply.__class__ is not dict or "choices" in reply:
        return False
    data = reply.get("data")
    return data.__class__ is list and len(data) > 0 and data[0].__class__ is dict and "embedding" in data[0]


def _is_like(reply: Parsed) -> bool:
    return "embedding" in first_of(reply, "data")


def plain_texts(reply: Any) -> list[str] | None:
    """Return the vectors of a parsed body as base64 in order; None where they are anything else, or of two lengths.

    All are looked at together: that takes a third of the time of one after the other.
    """
    data = reply.get("data")
    try:
        texts: list[str] = [each["embedding"] for each in data]
        is_in_order = len(texts) == 1 or [each["index"] for each in data] == [*range(len(texts))]
    except (LookupError, TypeError):
        return None
    if not is_in_order or set(map(type, texts)) != {str} or len(sizes := set(map(len, texts))) != 1:
        return None
    size, whole = sizes.pop(), "".join(texts)
    if size == 0 or size & 3 or not whole.isascii():
        return None
    padding = "=" * texts[0].count("=", -2)
    if (size // 4 * 3 - len(padding)) % FLOAT_BYTES or not all(each.endswith(padding) for each in texts):
        return None
    return texts if whole.encode().translate(None, _ALPHABET) == (padding * len(texts)).encode() else None


def _read(reply: Any) -> Vectors | str:
    if is_plain(reply) and (texts := plain_texts(reply)) is not None:
        return Vectors(tuple(texts))
    items = items_of(reply, "data")
    if isinstance(items, str):
        return items
    if len(items) > 1 and all(type(each.get("index")) is int for each in items):
        items = sorted(items, key=itemgetter("index"))
    values = [each.get("embedding") for each in items]
    found = tuple([vector for each in values if (vector := _vector(each))])
    if len(found) == len(items):
        return Vectors(found)
    if any(isinstance(each, list) and each and isinstance(each[0], list) for each in values):
        return "the answer has vectors of the tokens, not of the text: the server must pool them"
    return "the answer has an embedding that is not a list of numbers"


def _vector(value: Any) -> Vector | None:
    if isinstance(value, str):
        return value if _is_plain_base64(value) else _tolerantly_decoded(value)
    if not isinstance(value, list):
        return None
    try:
        numbers = array("f", value)
    except (TypeError, OverflowError):
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _is_plain_base64(text: str) -> bool:
    """Return whether a text is base64 of whole floats, and nothing else: in a fifth of the time of decoding it."""
    size = len(text)
    if size & 3 or not text.isascii():
        return False
    padding = text.encode().translate(None, _ALPHABET)
    if padding and not (padding in _PADDINGS and text.endswith(padding.decode())):
        return False
    return (size // 4 * 3 - len(padding)) % FLOAT_BYTES == 0


def _tolerantly_decoded(text: str) -> bytes | None:
    try:
        data = binascii.a2b_base64(text)
    except (ValueError, binascii.Error):
        return None
    return data if len(data) % FLOAT_BYTES == 0 else None


SHAPE = data_shape("an embedding", _is_like, _read)
