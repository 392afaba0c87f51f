"""Reads many chunks of a stream at once, where they differ in nothing but a piece of text. Pure.

Between its first and its last chunk a stream repeats itself: each chunk is the one before, with another text in the
same place. The bytes around the text are a template. Everything in it has been read once and says nothing new, so the
texts are cut out, put together as they stand, and read as one JSON text. Whatever does not fit is left to be read chunk
by chunk.
"""

import re
from operator import itemgetter
from typing import Self

import orjson

_TEXT = rb'"%b"\s*:\s*"((?:[^"\\]|\\.)*+)"'
"""A field of JSON that has a text."""

_BEGIN, _END = b"data: ", b"\n\n"
"""What stands before and after the data of an event, in the usual frame."""

_END_BYTES = 3
"""How much of the data stands before the end that events are split at: usually the brackets `}]}`."""


class Template:
    """What the chunks of one stream have in common."""

    def __init__(self, before: bytes, after: bytes, index: int, field: str) -> None:
        """Begin with what stands before and after the text in the data of an event, and where the text belongs."""
        self.index = index
        """Of the choice."""
        self.field = field
        self._before = _BEGIN + before
        # Short, and of characters that are rare in a chunk: it is found three times as fast as all that stands there.
        self._end = after[-_END_BYTES:] + _END
        self._after = after[:-_END_BYTES]
        self._text = itemgetter(slice(len(self._before), -len(self._after)))
        self._between = self._after + self._end + self._before

    @classmethod
    def of(cls, data: bytes, index: int, field: str) -> Self | None:
        """Return the template of an event whose only text stands in a field of this name; None where it is not clear.

        Args:
            data: of the event.
            index: of the choice that the text belongs to.
            field: of the choice's delta.
        """
        name = field.encode()
        found = re.search(_TEXT % re.escape(name), data)
        if found is None or data.count(b'"%b"' % name) != 1 or b"\n" in data or len(data) - found.end(1) <= _END_BYTES:
            return None
        return cls(data[: found.start(1)], data[found.end(1) :], index, field)

    def take(self, data: bytes) -> tuple[str, bytes] | None:
        """Return the texts of the events at the beginning, as one, and what follows them; None if there are none."""
        if not data.startswith(self._before):
            return None
        *events, rest = data.split(self._end)
        texts = list(map(self._text, events))
        if not data.startswith(b"".join((self._before, self._between.join(texts), self._after))):
            alike = next((number for number, event in enumerate(events) if not self._fits(event)), len(events))
            texts, rest = texts[:alike], self._end.join((*events[alike:], rest))
        text = _joined(texts)
        return None if text is None else (text, rest)

    def _fits(self, event: bytes) -> bool:
        is_long = len(event) >= len(self._before) + len(self._after)
        return is_long and event.startswith(self._before) and event.endswith(self._after)


def _joined(texts: list[bytes]) -> str | None:
    """Return the texts as one; None if there are none, or one of them is not what it seems to be."""
    joined = b"".join(texts)
    if not texts or (b"\\" in joined and b"\\\n" in b"\n".join((*texts, b""))):
        return None  # the quote after a backslash may be a part of the text
    try:
        text: str = orjson.loads(b'"%b"' % joined)
    except orjson.JSONDecodeError:
        return None
    return text
