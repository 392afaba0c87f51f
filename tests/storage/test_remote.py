import io

import pytest

from batchrun.storage.remote import FIRST_BYTES, RemoteFile, RemoteStream

CONTENT = bytes(range(256)) * 8192


class Store:
    """A store that counts the fetched parts and fails a given number of times."""

    def __init__(self, *problems: BaseException | int) -> None:
        self.fetched: list[tuple[int, int]] = []
        self.waits: list[float] = []
        self._problems = list(problems)

    def fetch(self, offset: int, size: int) -> bytes:
        self.fetched.append((offset, size))
        problem = self._problems.pop(0) if self._problems else size
        if isinstance(problem, BaseException):
            raise problem
        return CONTENT[offset : offset + min(size, problem)]

    def open(self) -> RemoteFile:
        return RemoteFile(self.fetch, len(CONTENT), sleep=self.waits.append)


def test_a_sequential_read_fetches_parts_of_doubling_size() -> None:
    """Reading the start fetches little, and a long read needs few requests."""
    store = Store()
    file = store.open()
    assert b"".join(iter(lambda: file.read1(8192), b"")) == CONTENT
    assert [size for _, size in store.fetched[:3]] == [FIRST_BYTES, 2 * FIRST_BYTES, 4 * FIRST_BYTES]
    assert sum(size for _, size in store.fetched) == len(CONTENT)


def test_a_random_read_fetches_only_the_requested_bytes() -> None:
    """Reading columns of Parquet jumps in the file, so reading ahead would waste bytes."""
    store = Store()
    file = store.open()
    file.seek(1_000_000)
    assert file.read(500_000) == CONTENT[1_000_000:1_500_000]
    file.seek(-8, io.SEEK_END)
    assert file.read(8) == CONTENT[-8:]
    assert store.fetched == [(1_000_000, 500_000), (len(CONTENT) - 8, 8)]


def test_a_read_returns_all_requested_bytes() -> None:
    """The Parquet reader would treat a short read as the end of the file."""
    file = Store().open()
    assert file.read(10) == CONTENT[:10]
    assert file.read(FIRST_BYTES * 5) == CONTENT[10 : 10 + FIRST_BYTES * 5]
    buffer = bytearray(100)
    file.seek(5)
    assert (file.readinto(buffer), bytes(buffer)) == (100, CONTENT[5:105])
    file.seek(0)
    assert file.read() == CONTENT
    assert file.read(1) == b""


@pytest.mark.parametrize("problem", [OSError("away"), ConnectionResetError("cut"), 100])
def test_a_part_that_fails_is_requested_again(problem: BaseException | int) -> None:
    """Also if it is cut off: that is not the end of the file."""
    store = Store(problem, problem)
    assert store.open().read(1000) == CONTENT[:1000]
    assert store.waits == [1.0, 2.0]


@pytest.mark.parametrize("problem", [PermissionError("no"), FileNotFoundError("gone")])
def test_a_permanent_error_is_not_retried(problem: OSError) -> None:
    """A second refusal would only cost time."""
    store = Store(problem)
    with pytest.raises(type(problem)):
        store.open().read(10)
    assert store.waits == []


def test_a_store_that_stays_unavailable_is_an_error() -> None:
    """After all retries; no rows are read from a part of the file."""
    store = Store(*[OSError("away")] * 9)
    with pytest.raises(OSError, match="away"):
        store.open().read(10)
    assert store.waits == [1.0, 2.0, 4.0]


def test_a_stream_is_read_from_its_start_to_its_end() -> None:
    """The server sends it once; it cannot be read from another position."""
    given = io.BytesIO(CONTENT)
    stream = RemoteStream(lambda size: given.read(min(size, 1000)), given.close)
    assert not stream.seekable()
    with pytest.raises(OSError, match="download it first"):
        stream.seek(0, io.SEEK_END)
    assert (stream.read(1500), stream.tell()) == (CONTENT[:1500], 1500)
    assert stream.read() == CONTENT[1500:]
    stream.close()
    assert given.closed


def test_a_stream_that_is_cut_off_stays_an_error() -> None:
    """Every read after the error raises it again, so it never looks like the end of the file."""
    given: list[bytes | OSError] = [CONTENT[:10], ConnectionResetError("cut"), b""]

    def give(size: int) -> bytes:
        if isinstance(found := given.pop(0), OSError):
            raise found
        return found

    stream = RemoteStream(give, lambda: None)
    assert stream.read(10) == CONTENT[:10]
    for _ in range(3):
        with pytest.raises(ConnectionResetError, match="cut"):
            stream.read(10)
    assert given == [b""]
