"""What comes over standard input is kept, and takes an earlier run's place only when the run is not refused."""

import gzip
import io
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from batchrun.errors import RunDirectoryError
from batchrun.prompts.input.spool import Spool

LONG = bytes(range(32, 127)) * 50_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.jsonl"


def spooled(path: Path, content: bytes, pack: Callable[[bytes], bytes] = bytes) -> Spool:
    return Spool(io.BytesIO(pack(content)), path)


def read(spool: Spool) -> bytes:
    return b"".join(iter(spool.read1, b""))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_bytes_are_kept_unpacked_before_they_are_handed_out(path: Path, pack: Callable[[bytes], bytes]) -> None:
    """And can be read again at the end."""
    spool = spooled(path, LONG, pack)
    first = spool.read1()
    spool.keep()
    assert path.read_bytes() == first
    assert first + read(spool) == LONG
    assert path.read_bytes() == LONG
    with spool.reopen() as again:
        assert again.read() == LONG
    spool.close()


@pytest.mark.parametrize("content", [b"new", b""])
def test_what_an_earlier_run_has_kept_stays_until_the_new_run_is_kept(path: Path, content: bytes) -> None:
    """Nothing else is left. An empty pipe never takes its place."""
    for is_kept, expected in ((False, b"old"), (True, content or b"old")):
        path.write_bytes(b"old")
        spool = spooled(path, content)
        assert read(spool) == content
        if is_kept:
            spool.keep()
        spool.close()
        assert path.read_bytes() == expected
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("before", "now", "is_continued"),
    [
        (b"ab\n", b"ab\n", True),
        (b"ab\n", b"ab\ncd\n", True),
        (b"ab\n", b"ab", False),
        (b"ab\n", b"ax\n", False),
        (b"ab\n", b"", False),
        (b"", b"ab\n", True),
        (None, b"ab\n", False),
        (LONG, LONG + b"x", True),
        (LONG + b"x", LONG + b"y", False),
    ],
)
def test_standard_input_is_compared_with_what_was_kept(
    path: Path, before: bytes | None, now: bytes, *, is_continued: bool
) -> None:
    """All of it is handed out afterwards."""
    if before is not None:
        path.write_bytes(before)
    spool = spooled(path, now)
    assert spool.is_continued() is is_continued
    assert read(spool) == now
    spool.keep()
    spool.close()
    assert path.read_bytes() == (now or before)


def test_no_more_is_waited_for_than_was_kept(path: Path) -> None:
    """A producer may be slow."""
    path.write_bytes(b"abcd\n")
    out, into = os.pipe()
    os.write(into, b"abcd\n")
    with os.fdopen(out, "rb") as stdin:
        spool = Spool(stdin, path)
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(spool.is_continued()), daemon=True)
        thread.start()
        thread.join(10)
        os.close(into)
        assert found == [True]
        assert read(spool) == b"abcd\n"
        spool.close()


def test_a_packed_input_that_breaks_off_is_reported_to_the_reader(path: Path) -> None:
    """After what stands before the break, also when that was compared."""
    path.write_bytes(LONG)
    spool = spooled(path, gzip.compress(LONG)[:-20])
    assert not spool.is_continued()
    with pytest.raises(EOFError):
        read(spool)
    spool.close()


def test_a_file_that_cannot_be_written_stops_the_run(path: Path) -> None:
    """The input is not at fault."""
    spool = spooled(path.parent / "gone" / "input.jsonl", b"x")
    with pytest.raises(RunDirectoryError, match=r"gone/input.jsonl: cannot be written: No such file"):
        spool.read1()
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    full = spooled(path, b"x" * 100)
    try:
        with pytest.raises(RunDirectoryError, match="cannot be written: File too large"):
            read(full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    full.close()


def test_what_was_read_is_forced_to_the_disk_before_it_has_its_name_and_at_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut, rows whose answers stay would be gone."""
    forced: list[tuple[int, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda handle: forced.append((os.fstat(handle).st_size, path.exists())))
    spool = spooled(path, LONG)
    first = spool.read1()
    spool.keep()
    assert forced == [(len(first), False)]
    assert first + read(spool) == LONG
    assert forced[1:] == [(len(LONG), True)]
    spool.close()
