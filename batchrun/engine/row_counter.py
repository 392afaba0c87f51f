"""Counts the rows of a run's input: before it sends where that is quick, else in another process while it sends."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from batchrun.job.sections import Job
from batchrun.prompts.input.row_count import asked, count_rows
from batchrun.prompts.selection import Selection, choice_of
from batchrun.prompts.source import Source
from batchrun.storage.processes import environment

_QUICK_S = 0.15
_QUICK_BYTES = 128 << 20
"""What is counted before a run sends: a file that is read in less time than anybody notices."""

_MOST_BYTES = 8 << 30
"""Largest input that is counted. A larger one takes minutes to read, and its run takes days."""


def count_quickly(job: Job, source: Source) -> None:
    """Count the rows of a small input."""
    if _is_countable(source, _QUICK_BYTES):
        until_s = time.monotonic() + _QUICK_S
        choice = choice_of(job, source.files)
        selection = Selection.of_choice(choice) if choice else None
        rows = count_rows(source.files, job.input.limit, lambda: time.monotonic() > until_s, selection)
        if rows is not None:
            source.expect(rows)


@contextmanager
def counting(job: Job, source: Source) -> Iterator[None]:
    """Count the rows of the input in another process while the block runs; the source gets the number."""
    if not _is_countable(source, _MOST_BYTES):
        yield
        return
    try:
        files = asked(source.files, job.input.limit, choice_of(job, source.files))
        process = _started()
    except (OSError, TypeError):  # the number stays a guess
        yield
        return

    def wait() -> None:
        output, _ = process.communicate(files)
        with suppress(ValueError):  # it could not count
            source.expect(int(output))

    waiting = threading.Thread(target=wait, name="batchrun-counter", daemon=True)
    waiting.start()
    try:
        yield
    finally:
        process.kill()
        waiting.join()


def _started() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # this Python with our own arguments
        [sys.executable, "-P", "-m", "batchrun.prompts.input.row_count"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,  # Ctrl-C goes to the run only
    )


def _is_countable(source: Source, most_bytes: int) -> bool:
    """Return whether the number of rows is a guess, and the input is on this machine and not too large."""
    rows = source.input_rows
    is_here = all(file.found is None and not file.is_stdin for file in source.files)
    is_known = rows is not None and rows.is_exact
    return is_here and not is_known and sum(file.size_bytes for file in source.files) <= most_bytes
