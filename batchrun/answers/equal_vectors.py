"""Reads the vectors of many answers at once, where each is one vector of the same length in base64. Pure.

Nearly all answers of a run of embeddings are. Where one is not, nothing is read: `envelope` reads every kind, and finds
the same vectors. To decode a text shows whether it is base64, by the length of what comes out: other characters are
skipped.
"""

from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from batchrun.answers.chat import Completion
from batchrun.answers.kinds.embeddings import FLOAT_BYTES

_TEXT_OR_NONE = frozenset({str, type(None)})


@dataclass(frozen=True, slots=True)
class EqualVectors:
    """The vectors of some rows, all of one length."""

    rows: int
    length: int
    """Numbers of each."""
    floats: bytes
    """Of all vectors, one after the other: 32 bits each, the lowest byte first."""


def equal_columns(bodies: Sequence[bytes | None]) -> dict[str, Any] | None:
    """Return the shown parts of answers: field of `Completion` → its values, `EqualVectors` in the place of the data.

    None where one of them is anything else, or there are none.
    """
    texts: list[str] = []
    ids: list[str | None] = []
    try:
        for reply in map(orjson.loads, bodies):  # type: ignore[arg-type]  # it refuses None
            (item,) = reply["data"]
            if "choices" in reply:
                return None
            texts.append(item["embedding"])
            ids.append(reply.get("id"))
        vectors = _decoded(texts)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    if vectors is None or not _TEXT_OR_NONE.issuperset(map(type, ids)):
        return None
    return {**dict.fromkeys(Completion._fields, [None] * len(ids)), "response_id": ids, "data": vectors}


def _decoded(texts: list[str]) -> EqualVectors | None:
    """Return vectors; None where they are not all of one length, or not plain base64."""
    if set(map(type, texts)) != {str}:
        return None
    decoded = [*map(a2b_base64, texts)]
    sizes = set(map(len, decoded))
    size = sizes.pop()
    if sizes or size == 0 or size % FLOAT_BYTES or set(map(len, texts)) != {(size + 2) // 3 * 4}:
        return None
    return EqualVectors(len(texts), size // FLOAT_BYTES, b"".join(decoded))
