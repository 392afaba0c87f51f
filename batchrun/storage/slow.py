"""Reports a step that waits for storage: a network file system that hangs gives neither an error nor an end."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SLOW_AFTER_S = 10.0
"""How long a step may take before it is reported: opening a file takes milliseconds, waking a disk a few seconds."""

READING_FIRST = "still reading the input before anything is sent, as --sample, --where and --strict need"


@contextmanager
def reported_when_slow(step: str, place: Path | str, say: Callable[[str], None]) -> Iterator[None]:
    """Report the enclosed step while it hangs. It is not ended: a call into a file system that hangs cannot be.

    Args:
        step: what is waited for, such as "the lock".
        place: file, folder or URL. No secrets of a URL: the place is printed.
        say: gets the message, from another thread, once at most.
    """
    if "://" in str(place):
        cause, cure = place, "check the address and the network"
    else:
        cause, cure = f"the file system of {place}", "check that it is mounted and that its server is up"
    message = f"still waiting for {step} after {SLOW_AFTER_S:g} s: {cause} is slow or does not answer; {cure}"
    with reported_late(message, say):
        yield


@contextmanager
def reported_late(message: str, say: Callable[[str], None]) -> Iterator[None]:
    """Print a message if the enclosed step takes longer than `SLOW_AFTER_S`; from another thread, once at most."""
    timer = threading.Timer(SLOW_AFTER_S, say, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
