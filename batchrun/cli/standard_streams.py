"""Standard streams that survive the loss of their reader: a closed terminal, a `tee` that Ctrl-C ends, a full disk."""

import errno
import io
import os
import sys
from typing import TextIO

from batchrun.errors import RunDirectoryError

_READER_IS_GONE = (errno.EPIPE, errno.EIO)


class QuietStream(io.TextIOWrapper):
    """A text stream that discards its text, instead of raising, once it cannot be written."""

    raises_when_full = False
    """Whether lost text is an error where the reader still exists. Messages may be lost; requested output may not."""

    def write(self, text: str) -> int:
        """Write the text, or discard it."""
        try:
            return super().write(text)
        except OSError as problem:
            self._discard(problem)
            return len(text)

    def flush(self) -> None:
        """Flush the text, or discard it."""
        try:
            super().flush()
        except OSError as problem:
            self._discard(problem)

    def _discard(self, problem: OSError) -> None:
        """Point the descriptor at /dev/null, so that the interpreter's last flush succeeds too."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        if self.raises_when_full and problem.errno not in _READER_IS_GONE:
            cure = "free some space there, then run: batchrun status RUN --json"
            raise RunDirectoryError(f"standard output: cannot be written ({problem.strerror}); {cure}") from problem


def protect_streams() -> None:
    """Make stdout and stderr of this process survive the loss of their reader."""
    sys.stdout = _protected(sys.stdout, raises_when_full=True)
    sys.stderr = _protected(sys.stderr, raises_when_full=False)


def open_closed_streams() -> None:
    """Open closed standard streams (`2>&-`) on /dev/null: otherwise the next opened file becomes standard error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:
            stream = os.fdopen(number, mode)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)  # as in Python: keeps the stream open when `sys.stdout` is replaced


def _protected(stream: TextIO, *, raises_when_full: bool) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # the caller replaced the stream
    quiet = QuietStream(
        stream.buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=stream.line_buffering
    )
    quiet.raises_when_full = raises_when_full
    return quiet
