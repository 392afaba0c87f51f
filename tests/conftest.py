"""Settings for all tests."""

import gc
import os
import signal

from hypothesis import HealthCheck, settings

# The time of an example depends on the load of the machine, so it has no deadline. The examples are the same in every
# run of the suite; with FUZZ=1 they are new ones, to look for faults.
settings.register_profile(
    "batchrun", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="FUZZ" not in os.environ
)
settings.load_profile("batchrun")


# What pytest collects stays: looking for cycles in it takes each process 5 s. The threshold is the command line's.
gc.disable()
gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """Have the garbage collector look only at what the tests themselves make."""
    gc.freeze()
    gc.enable()


def pytest_configure() -> None:
    """Make signals arrive, in this process and in every process that a test starts.

    A shell ignores Ctrl-C in background processes of a script, `nohup` ignores SIGHUP, and children inherit both.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test by its argument where that is not text: packed bytes hold the time, which differs by process."""
    return argname if isinstance(val, bytes) and not val.isascii() else None
