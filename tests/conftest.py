"""What every test stands on."""

import signal


def pytest_configure() -> None:
    """Have signals arrive, here and in every process that a test starts.

    A shell ignores Ctrl-C in what a script starts with `&`, `nohup` ignores the hang-up, and children inherit both.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
