"""Standard streams that may lose their reader: a terminal that is closed, a `tee` that Ctrl-C ends too, a full disk."""

import errno
import io
import os
import sys
from typing import TextIO

from batchrun.errors import RunDirectoryError

_NOBODY_LISTENS = (errno.EPIPE, errno.EIO)


class Outlet(io.TextIOWrapper):
    """A text stream that falls silent, instead of raising, once what is written reaches nobody."""

    is_needed = False
    """Whether what is lost for another reason than that nobody listens is an error: words for people are not."""

    def write(self, text: str) -> int:
        """Write, or say nothing."""
        try:
            return super().write(text)
        except OSError as problem:
            self._fall_silent(problem)
            return len(text)

    def flush(self) -> None:
        """Flush, or say nothing."""
        try:
            super().flush()
        except OSError as problem:
            self._fall_silent(problem)

    def _fall_silent(self, problem: OSError) -> None:
        """Lead the descriptor nowhere, so that the interpreter's last flush succeeds as well."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if self.is_needed and problem.errno not in _NOBODY_LISTENS:
            cure = "make room there, and look with `batchrun status --json`"
            raise RunDirectoryError(f"standard output: cannot be written ({problem.strerror}); {cure}") from problem


def open_outlets() -> None:
    """Have this process's standard streams bear the loss of their reader."""
    sys.stdout, sys.stderr = _outlet(sys.stdout, is_needed=True), _outlet(sys.stderr, is_needed=False)


def _outlet(stream: TextIO, *, is_needed: bool) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # whoever runs this has put something of its own there
    outlet = Outlet(stream.buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=stream.line_buffering)
    outlet.is_needed = is_needed
    return outlet
