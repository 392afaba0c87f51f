"""Several equal lengths of an answer are one; others stay as they are."""

import pytest

from batchrun.endpoint.http.lengths import with_one_length

START = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"CONTENT-LENGTH:5\r\nX-Y: z\r\ncontent-length: 5 \r\n",
        b"Content-Length: 5 ,5\r\n",
        b"Content-Length: 5, 5, 5\r\nContent-Length: 5\r\n",
    ],
)
def test_equal_lengths_are_one(lines: bytes) -> None:
    """Other headers and the body stay."""
    made = with_one_length(START + lines + b"A: b\r\n\r\nhello\nContent-Length: 7\r\n")
    assert made is not None
    head, _, body = made.partition(b"\r\n\r\n")
    assert head.lower().count(b"content-length") == 1
    assert head.startswith(START + b"Content-Length: 5\r\n")
    assert head.endswith(b"A: b")
    assert (b"X-Y: z" in head) == (b"X-Y" in lines)
    assert body == b"hello\nContent-Length: 7\r\n"


@pytest.mark.parametrize(
    "data",
    [
        START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        START + b"Content-Length: 5, 6\r\n\r\n",
        START + b"Content-Length: 5, 6\r\nContent-Length: 5\r\n\r\n",
        START + b"Content-Length: 5\r\nContent-Length: 5\r\n",
        START + b"X: Content-Length: 5, 5\r\n\r\n",
        START + b"\r\nContent-Length: 5, 5\r\n\r\n",
        b"",
    ],
)
def test_anything_else_stays(data: bytes) -> None:
    """Also a head that has not arrived to its end."""
    assert with_one_length(data) is None
