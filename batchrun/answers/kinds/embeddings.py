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


class Vectors(NamedTuple):
    """The vectors of the texts of one request, in the order of the texts."""

    vectors: tuple[bytes, ...]
    """32-bit floats, the lowest byte first."""


def _is_like(reply: Parsed) -> bool:
    return "embedding" in first_of(reply, "data")


def _read(reply: Any) -> Vectors | str:
    items = items_of(reply, "data")
    if isinstance(items, str):
        return items
    if len(items) > 1 and all(type(each.get("index")) is int for each in items):
        items = sorted(items, key=itemgetter("index"))
    values = [each.get("embedding") for each in items]
    found = tuple(filter(None, map(_vector, values)))
    if len(found) == len(items):
        return Vectors(found)
    if any(isinstance(each, list) and each and isinstance(each[0], list) for each in values):
        return "the answer has vectors of the tokens, not of the text: the server must pool them"
    return "the answer has an embedding that is not a list of numbers"


def _vector(value: Any) -> bytes | None:
    if isinstance(value, str):
        try:
            data = binascii.a2b_base64(value)
        except (ValueError, binascii.Error):
            return None
        return data if len(data) % FLOAT_BYTES == 0 else None
    if not isinstance(value, list):
        return None
    try:
        numbers = array("f", value)
    except (TypeError, OverflowError):
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


SHAPE = data_shape("an embedding", _is_like, _read)
