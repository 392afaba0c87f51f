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
from batchrun.answers.shared_vectors import SharedBodies

_TEXT_OR_NONE = frozenset({str, type(None)})


@dataclass(frozen=True, slots=True)
class EqualVectors:
    """The vectors of some rows, all of one length."""

    rows: int
    length: int
    """Numbers of each."""
    floats: bytes | bytearray
    """Of all vectors, one after the other: 32 bits each, the lowest byte first."""


def equal_columns(bodies: Sequence[bytes | None]) -> dict[str, Any] | None:
    """Return the shown parts of answers: field of `Completion` → its values, `EqualVectors` in the place of the data.

    None where one of them is anything else, or there are none.
    """
    if isinstance(bodies, SharedBodies):
        return _shared_columns(bodies)
    floats = bytearray()
    chars, sizes = set[int](), set[int]()
    ids: list[str | None] = []
    try:
        for reply in map(orjson.loads, bodies):  # type: ignore[arg-type]  # it refuses None
            (item,) = reply["data"]
            if "choices" in reply:
                return None
            text = item["embedding"]
            vector = a2b_base64(text)  # at once, while the text is in the processor's cache
            floats += vector
            chars.add(len(text))
            sizes.add(len(vector))
            ids.append(reply.get("id"))
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    if len(sizes) != 1 or not _TEXT_OR_NONE.issuperset(map(type, ids)):
        return None
    size = sizes.pop()
    if size == 0 or size % FLOAT_BYTES or chars != {(size + 2) // 3 * 4}:
        return None
    return _columns(ids, size, floats)


def _shared_columns(bodies: SharedBodies) -> dict[str, Any] | None:
    size, ids = bodies.size, bodies.response_ids()
    return None if size is None or ids is None else _columns(ids, size, bodies.floats())


def _columns(ids: list[str | None], size: int, floats: bytes | bytearray) -> dict[str, Any]:
    vectors = EqualVectors(len(ids), size // FLOAT_BYTES, floats)
    return {**dict.fromkeys(Completion._fields, [None] * len(ids)), "response_id": ids, "data": vectors}
