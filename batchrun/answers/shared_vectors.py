"""The answer to a bundle of embeddings, taken apart once for all of its rows. Pure.

Theory of operation. Nearly all of such an answer is vectors as base64, all of one length. They are decoded where they
stand in its text; what is left of the text is short, and only that is parsed as JSON. All vectors then stand in one
piece of memory, which the checkpoint keeps and the results take over as it is. An answer of any other form is left to
`parts`, which reads every one. To decode a text shows whether it is base64, by the length of what comes out: other
characters are skipped, and nothing is read after the padding.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

import orjson

from batchrun.answers.kinds.embeddings import FLOAT_BYTES
from batchrun.answers.parts import OF_VECTOR, USAGES, usage_end
from batchrun.records import SharedReply, Usage

_KEY = b'"embedding":'
_NO_VECTOR = _KEY + b"null"
_EMPTY = ""

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of answers."""


class SharedAnswer(NamedTuple):
    """An answer to a bundle that its rows can share."""

    answer: dict[str, Any]
    """Parsed, with empty texts in place of the vectors."""
    reply: SharedReply


def shared_answer(body: bytes, count: int) -> SharedAnswer | None:
    """Return the answer to `count` texts, if it has a vector of one length for each in order, as plain base64."""
    found = _vectors_of(body, count)
    if found is None:
        return None
    rest, vectors = found
    try:
        answer = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return None
    if answer.__class__ is not dict or "choices" in answer or not _is_plain(answer.get("data"), count):
        return None
    item = answer["data"][0] | {"index": 0, "embedding": None}
    others = {name: value for name, value in answer.items() if name not in USAGES or name == "usage"}
    frame = orjson.dumps(others | {"data": [item]})
    if frame.count(_NO_VECTOR) != 1:
        return None
    return SharedAnswer(answer, SharedReply(frame, len(vectors) // count, vectors))


def _vectors_of(body: bytes, count: int) -> tuple[bytes, bytes] | None:
    """Return the text without its vectors, and these decoded; None where they are not `count` of one length."""
    vectors: list[bytes] = []
    rest: list[bytes] = []
    at, sizes = 0, set[int]()
    while (key := body.find(_KEY, at)) >= 0 and len(vectors) < count:
        start = body.find(b'"', key + len(_KEY)) + 1
        end = body.find(b'"', start)
        text = body[start:end]
        try:
            vector = a2b_base64(text)
        except ValueError:
            return None
        size = len(vector)
        if not size or len(text) != (size + 2) // 3 * 4 or not _ends_well(text, vector, size % 3):
            return None
        sizes.add(size)
        vectors.append(vector)
        rest.append(body[at:start])
        at = end
    if key >= 0 or len(vectors) != count or len(sizes) != 1 or sizes.pop() % FLOAT_BYTES:
        return None
    rest.append(body[at:])
    return b"".join(rest), b"".join(vectors)


def _ends_well(text: bytes, vector: bytes, odd: int) -> bool:
    """Return whether the last characters are those that the last bytes have as base64: bits may be left over."""
    return not odd or b2a_base64(vector[-odd:], newline=False) == text[-4:]


def _is_plain(data: Any, count: int) -> bool:
    """Return whether these are items without vectors, alike but for their index, which counts from 0."""
    if data.__class__ is not list or len(data) != count or data[0].__class__ is not dict:
        return False
    first = data[0] | {"index": 0}
    if not first.keys() <= OF_VECTOR or first.get("embedding") != _EMPTY:
        return False
    if "index" not in data[0]:
        return all(each == data[0] for each in data)
    return all(each == first | {"index": place} for place, each in enumerate(data))


class _Frame(NamedTuple):
    """What is around the vector in the answer to one row."""

    head: bytes
    tail: bytes
    stated: Any
    """The usage of the whole answer."""
    response_id: Any


def _frame_of(reply: SharedReply) -> _Frame:
    answer: dict[str, Any] = orjson.loads(reply.frame)
    stated = answer.pop("usage", None)
    its_id = answer.get("id")
    head, tail = orjson.dumps(answer)[:-1].split(_NO_VECTOR)
    return _Frame(head + _KEY, tail, stated, its_id)


def is_whole(reply: SharedReply) -> bool:
    """Return whether this can be a shared reply: what was read from a damaged file may be anything."""
    try:
        _frame_of(reply)
    except (ValueError, AttributeError, TypeError):
        return False
    return reply.size > 0 and reply.size % FLOAT_BYTES == 0


class SharedBodies(Sequence[bytes]):
    """The answers to rows, each as it would be alone, made when one is asked for; and their vectors all at once."""

    def __init__(self, replies: Sequence[SharedReply], places: Sequence[int], usages: Mapping[str, Sequence[Any]]):
        """Begin.

        Args:
            replies: of each row.
            places: of each row's vector in its reply.
            usages: the counts of each row, by the fields of `Usage`.
        """
        self._replies, self._places, self._usages = replies, places, usages
        self._frames: dict[int, _Frame] = {}  # by the identity of a reply, which is held above

    def __len__(self) -> int:
        return len(self._replies)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        """Return the answer to a row."""
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        reply = self._replies[place]
        frame = self._frame(reply)
        usage = Usage(*(self._usages[name][place] for name in Usage._fields))
        start = self._places[place] * reply.size
        vector = b2a_base64(memoryview(reply.vectors)[start : start + reply.size], newline=False)
        return b'%b"%b"%b%b' % (frame.head, vector, frame.tail, usage_end(usage, frame.stated))

    @property
    def size(self) -> int | None:
        """Bytes of each vector; None where they differ."""
        sizes = {each.size for each in self._distinct()}
        return sizes.pop() if len(sizes) == 1 else None

    def floats(self) -> bytes:
        """Return the vectors of all rows, one after the other."""
        parts: list[bytes | memoryview] = []
        for reply, first, rows in self._runs():
            start, end = first * reply.size, (first + rows) * reply.size
            is_all = start == 0 and end == len(reply.vectors)
            parts.append(reply.vectors if is_all else memoryview(reply.vectors)[start:end])
        return b"".join(parts)

    def response_ids(self) -> list[str | None] | None:
        """Return the endpoint's name for the answer to each row; None where one of these is not a text."""
        ids = {id(each): self._frame(each).response_id for each in self._distinct()}
        if not {str, type(None)}.issuperset(map(type, ids.values())):
            return None
        return [ids[id(each)] for each in self._replies]

    def _distinct(self) -> Iterator[SharedReply]:
        return iter({id(each): each for each in self._replies}.values())

    def _frame(self, reply: SharedReply) -> _Frame:
        found = self._frames.get(id(reply))
        if found is None:
            found = self._frames[id(reply)] = _frame_of(reply)
        return found

    def _runs(self) -> Iterator[tuple[SharedReply, int, int]]:
        """Yield runs of rows whose vectors follow one another: their reply, the first place, and how many they are."""
        reply, first, rows = self._replies[0], self._places[0], 0
        for its, place in zip(self._replies, self._places, strict=True):
            if its is reply and place == first + rows:
                rows += 1
            else:
                yield reply, first, rows
                reply, first, rows = its, place, 1
        yield reply, first, rows
