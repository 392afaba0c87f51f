"""Reads many chunks of a stream at once, where they differ in nothing but a piece of text. Pure.

Between its first and its last chunk a stream repeats itself: each chunk is the one before, with another text in the
same place. The bytes around the text are a template. Everything in it has been read once and says nothing new, so the
texts are cut out, put together as they stand, and read as one JSON text. Whatever does not fit is left to be read chunk
by chunk.
"""

import re
from io import BytesIO
from operator import itemgetter
from typing import Self

import orjson

_TEXT = rb'"%b"\s*:\s*"((?:[^"\\]|\\.)*+)"'
"""A field of JSON that has a text."""

_BEGIN, _END = b"data: ", b"\n\n"
"""What stands before and after the data of an event, in the usual frame."""


class Template:
    """What the chunks of one stream have in common."""

    def __init__(self, before: bytes, after: bytes, index: int, field: str) -> None:
        """Begin with what stands before and after the text in the data of an event, and where the text belongs."""
        self.index = index
        """Of the choice."""
        self.field = field
        self._before, self._after = _BEGIN + before, after + _END
        self._between = self._after + self._before
        self._text = itemgetter(slice(len(self._before), -len(after) - 1))  # of a line, with its end
        self._around_bytes = len(self._between)

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
        if found is None or data.count(b'"%b"' % name) != 1 or b"\n" in data:
            return None
        return cls(data[: found.start(1)], data[found.end(1) :], index, field)

    def take(self, data: bytes) -> tuple[str, bytes] | None:
        """Return the texts of the events at the beginning, as one, and what follows them; None if there are none."""
        if not data.startswith(self._before):
            return None
        # Each second line is empty. They are found by `memchr`, which takes half the time of `split`.
        lines = BytesIO(data).readlines()
        texts = list(map(self._text, lines[: len(lines) // 2 * 2 : 2]))
        if not self._is_all_of(texts, data):
            events = zip(lines[::2], lines[1::2], strict=False)
            alike = next((number for number, event in enumerate(events) if not self._fits(b"".join(event))), len(texts))
            texts = texts[:alike]
        joined = b"".join(texts)
        text = _read(joined, texts)
        return None if text is None else (text, data[len(joined) + len(texts) * self._around_bytes :])

    def _is_all_of(self, texts: list[bytes], data: bytes) -> bool:
        """Return whether events with these texts stand at the beginning."""
        first_at = len(self._before)
        inner = self._between.join(texts)
        return data.startswith(inner, first_at) and data.startswith(self._after, first_at + len(inner))

    def _fits(self, event: bytes) -> bool:
        is_long = len(event) >= self._around_bytes
        return is_long and event.startswith(self._before) and event.endswith(self._after)


def _read(joined: bytes, texts: list[bytes]) -> str | None:
    """Return the texts, which are joined, as one; None if there are none, or one of them is not what it seems to be."""
    if not texts or (b"\\" in joined and b"\\\n" in b"\n".join((*texts, b""))):
        return None  # the quote after a backslash may be a part of the text
    try:
        text: str = orjson.loads(b'"%b"' % joined)
    except orjson.JSONDecodeError:
        return None
    return text
