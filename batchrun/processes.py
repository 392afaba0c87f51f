"""Whether a process of this machine is alive."""

import os


def is_alive(pid: int) -> bool:
    """Return whether there is a process with this number, whosever it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but there
    return True
