import gzip
import io
import os
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.prompts.input.lines import blocks


class Chunked(io.RawIOBase):
    """A stream that returns its bytes in given chunks, like a pipe."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = [chunk for chunk in chunks if chunk]

    def read(self, size: int = -1) -> bytes:
        if not self.chunks:
            return b""
        chunk = self.chunks.pop(0)
        if len(chunk) > size:
            self.chunks.insert(0, chunk[size:])
        return chunk[:size]


def lines(raw) -> list[bytes]:
    return [line for block in blocks(raw) for line in block.lines]


def zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True) if content else b""


@given(st.lists(st.sampled_from([b"", b" ", b"\r", b"\t \x0b", b"a", b" a "]), max_size=9))
def test_the_lines_that_are_not_blank_are_counted(content: list[bytes]) -> None:
    """As those who read them one by one count them."""
    found = [*blocks(io.BytesIO(b"".join(line + b"\n" for line in content)))]
    assert sum(block.filled for block in found) == sum(bool(line.strip()) for line in content)


@given(st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line), max_size=9), st.data())
def test_lines_are_the_same_however_the_bytes_arrive(content: list[bytes], data) -> None:
    """Any division into chunks gives the same lines."""
    whole = b"".join(line + b"\n" for line in content)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=9)))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    expected = list(content)
    if expected:
        expected[0] = expected[0].removeprefix(b"\xef\xbb\xbf")
    if not whole.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        assert lines(Chunked(chunks)) == expected


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_compressed_files_are_recognised_by_their_bytes(pack) -> None:
    """Plain, gzip, zstd, and several members or frames in one file are all read completely."""
    one, two = pack(b"a\nb\n" * 50_000), pack(b"c\nlast")
    expected = [b"a", b"b"] * 50_000 + [b"c", b"last"]
    assert lines(io.BytesIO(one + two)) == expected
    assert lines(Chunked([one[:1], one[1:2], one[2:] + two[:5], two[5:]])) == expected


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_a_truncated_compressed_file_gives_its_lines_and_then_raises(pack) -> None:
    """Lines before the end are not lost."""
    content = b"".join(b"%d %s\n" % (number, os.urandom(20).hex().encode()) for number in range(50_000))
    whole = pack(content)
    seen: list[bytes] = []
    found = blocks(io.BytesIO(whole[: len(whole) * 2 // 3]))
    with pytest.raises((EOFError, OSError)):
        seen.extend(line for block in found for line in block.lines)
    assert len(seen) > 20_000
    assert seen == content.split(b"\n")[: len(seen)]


def test_a_pipe_is_read_as_it_fills() -> None:
    """A line is returned when it is complete, not when a chunk is full."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader:
        os.write(write_end, b"first line\nsec")
        found = blocks(reader)
        assert next(found).lines == [b"first line"]
        os.write(write_end, b"ond\n")
        os.close(write_end)
        assert next(found).lines == [b"second"]
        assert next(found, None) is None


def test_a_long_line_is_joined_once() -> None:
    """100 MB in one line are copied once, not once for each chunk."""
    line = b"x" * 100_000_000
    [found] = lines(io.BytesIO(line + b"\n"))
    assert found == line


def test_blocks_know_their_line_and_byte_position() -> None:
    """Line numbers count from 1, and byte positions grow to the size of the file."""
    content = b"12345678\n" * 300_000
    found = list(blocks(io.BytesIO(content)))
    assert found[0].number == 1
    assert all(one.number + len(one.lines) == two.number for one, two in pairwise(found))
    assert found[-1].bytes_before(300_001) == len(content)
    assert found[0].bytes_before(1001) == pytest.approx(9000, rel=0.01)
