"""The events in the bytes of a stream."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.events import EventReader, is_stream

STREAM = b'event: a\ndata: 1\n\n: comment\n\ndata:2\ndata: 3\nid: 7\n\ndata\ndata:\n\ndata:  \n\n{"x":1}\n\ndata: last'
EVENTS = [(b"a", b"1"), (b"", b"2\n3"), (b"", b'{"x":1}'), (b"", b"last")]


class Events(EventReader):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[bytes, bytes]] = []

    def take_event(self, name: bytes, data: bytes) -> None:
        self.events.append((name, data))


def read(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    reader = Events()
    for piece in pieces:
        reader.feed(piece)
    reader.close()
    return reader.events


@given(st.lists(st.integers(0, 2 * len(STREAM)), max_size=30), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cutting_and_any_end_of_line_gives_the_same_events(cuts: list[int], end: bytes) -> None:
    """The standard allows three ends of a line, and the network cuts inside of them."""
    data = STREAM.replace(b"\n", end)
    places = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    assert read(*(data[start:stop] for start, stop in pairwise(places))) == EVENTS


def test_a_stream_may_begin_with_a_byte_order_mark() -> None:
    """It is not a part of the first field."""
    assert read(b"\xef\xbb\xbfdata: 1\n\n") == [(b"", b"1")]


def test_an_error_in_a_line_of_its_own_is_an_event() -> None:
    """As llama.cpp writes it."""
    assert read(b'data: 1\n\nerror: {"code":500}\n\n') == [(b"", b"1"), (b"error", b'{"code":500}')]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'error: {"code": 500}', True),
        (b"error: no such model", False),
        (b"data: {", True),
        (b"\xef\xbb\xbf\n\nevent: x", True),
        (b": PROCESSING\n\ndata: {", True),
        (b"id: 1", True),
        (b'{"object":"chat.completion.chunk","choices":[]}', True),
        (b'{"object":"chat.completion","choices":[]}', False),
        (b'{"choices":[{"delta":{"content":"a"}}]}\n{"choi', True),
        (b'{"choices":[{"delta":{"content":"a"}}]}\r\n', True),
        (b'{"choices":[{"delta":{"content":"a"}}]}', False),  # alone, it may be a whole answer
        (b'{"choices":[{"message":{"content":"\\"delta\\""}}]}\n', False),
        (b'{"choices":[{"delta":\n', False),
        (b"<html>data:", False),
        (b"database: gone", False),
        (b"", False),
    ],
)
def test_a_stream_is_recognized_by_its_first_bytes(body: bytes, expected: bool) -> None:
    """Whatever its content type says."""
    assert is_stream(body) is expected
