"""Splits the bytes of a stream into server-sent events. Pure.

Bytes arrive in any chunks. They are split into lines, and lines into events (an empty line ends an event). An event
without data is none: some servers send one as a heartbeat. Three things are accepted that the standard does not have: a
line that is a JSON object without `data:`, llama.cpp's line `error:`, and a last event without its empty line.
Source: the HTML standard, "Server-sent events".
"""

import re

_FIRST_LINE = re.compile(rb"(data|event|id|retry)?:|error: ?\{")

_COMPLETION, _OF_CHUNK = b'"chat.completion', b'.chunk"'
_CHUNK = _COMPLETION + _OF_CHUNK
_DELTA = b'"delta"'
"""The piece of an answer. Inside a text its quotes would be escaped."""

_TRIES = 4
"""How often many events are taken at once in the bytes that came together: a time stamp in them may change."""

_HEAD_BYTES = 400
"""Where a chunk of a completion names its object: near its start."""


def is_stream(body: bytes) -> bool:
    """Return whether a body is a stream, whatever its content type says.

    It begins with a field of an event, or is one chunk of a completion after the other, each in a line.
    """
    if body.startswith(b"{"):
        named_at = body.find(_COMPLETION, 0, _HEAD_BYTES)
        if body.find(b"\n", 0, _HEAD_BYTES) < 0:  # nearly all answers: one object, which names itself near its start
            return named_at >= 0 and body.startswith(_OF_CHUNK, named_at + len(_COMPLETION))
        head = body[:_HEAD_BYTES]
        if _CHUNK in head:
            return True
        first, _, _ = head.partition(b"\n")
        return _DELTA in first and first.rstrip().endswith(b"}")
    return _FIRST_LINE.match(body.removeprefix(b"\xef\xbb\xbf").lstrip()) is not None


class EventReader:
    """Reads the events of one stream; a subclass says what is done with them.

    A reader that calls another object, which has the reader, would be freed late: by the search for cycles.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._ended_in_cr = False

    def take_event(self, name: bytes, data: bytes) -> None:
        """Take the data of an event, and its name, which is empty when it has none."""
        raise NotImplementedError

    def take_many(self, data: bytes) -> bytes:
        """Take events at the beginning of bytes, if that can be done at once; return the bytes that are not taken."""
        return data

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self._ended_in_cr or b"\r" in data:
            data = self._without_cr(data)
        if not self._data and not self._name and len(self._line) < 2:  # between two events
            data = self._after_many(b"".join((*self._line, data)))
        self._read_lines(data)

    def _after_many(self, data: bytes) -> bytes:
        """Have many events taken at once, as far as they can be; return what follows them."""
        self._line = []
        for _ in range(_TRIES):
            rest = self.take_many(data)
            if len(rest) == len(data):
                first, end, rest = data.partition(b"\n\n")
                if not end:
                    break
                self._read_lines(first + end)
            data = rest
        return data

    def _read_lines(self, data: bytes) -> None:
        if b"\n" not in data:
            self._line.append(data)
            return
        first, *lines = data.split(b"\n")
        self._read_line(b"".join((*self._line, first)))
        last = lines.pop()
        self._line = [last] if last else []
        for line in lines:
            self._read_line(line)

    def close(self) -> None:
        """Read what stands after the last empty line."""
        rest, self._line = b"".join(self._line), []
        self._read_line(rest)
        if rest:
            self._read_line(b"")

    def _without_cr(self, data: bytes) -> bytes:
        """Return the bytes with each line's end as one line feed."""
        if self._ended_in_cr and data.startswith(b"\n"):
            data = data[1:]
            self._ended_in_cr = False
        self._ended_in_cr = data.endswith(b"\r") or (self._ended_in_cr and not data)
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _read_line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line:
            if self._data:
                self._end_event()
        elif line.startswith(b"{"):
            self.take_event(b"", line)
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif line.startswith(b"error:"):
            self.take_event(b"error", line[6:].strip())
        elif line.startswith(b"\xef\xbb\xbf"):  # a stream may begin with a byte order mark
            self._read_line(line[3:])

    def _end_event(self) -> None:
        name, lines = self._name, self._data
        data = lines[0] if len(lines) == 1 else b"\n".join(lines)
        self._name, self._data = b"", []
        if data and not data.isspace():
            self.take_event(name, data)
