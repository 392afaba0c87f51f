"""Terminals for tests: what a program draws there can be read."""

import fcntl
import os
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def terminal(columns: int) -> Iterator[tuple[int, Callable[[], str]]]:
    """Yield the file number of a terminal with so many columns, and a function that returns what was drawn since."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.set_blocking(ours, False)

    def drawn() -> str:
        text = b""
        with suppress(BlockingIOError):
            while True:
                text += os.read(ours, 1 << 16)
        return text.decode()

    try:
        yield theirs, drawn
    finally:
        os.close(theirs)
        os.close(ours)
