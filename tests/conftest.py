"""What every test stands on."""

import signal

from hypothesis import HealthCheck, settings

# How long an example takes depends on what else the machine does, and promises nothing.
settings.register_profile("batchrun", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("batchrun")


def pytest_configure() -> None:
    """Have signals arrive, here and in every process that a test starts.

    A shell ignores Ctrl-C in what a script starts with `&`, `nohup` ignores the hang-up, and children inherit both.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
