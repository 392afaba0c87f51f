"""Processes on this machine: whether one is alive, and what one that imports this package needs."""

import ctypes
import os
import platform
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import batchrun

_LINUX_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MACOS_BOOT = b"kern.bootsessionuuid"


class Machine(NamedTuple):
    """A machine since it was started last."""

    host: str = ""
    """Its name; empty when it is not known, as in the field that follows."""
    boot: str = ""
    """An identifier that is another one after each start."""


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    return Machine(platform.node(), _boot())


def _boot() -> str:
    with suppress(OSError, UnicodeDecodeError):
        return _LINUX_BOOT.read_text().strip()
    return _macos_boot() if sys.platform == "darwin" else ""


def _macos_boot() -> str:
    """Source: sysctl(3); the identifier is that of `sysctl kern.bootsessionuuid`."""
    text, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
    failed = ctypes.CDLL(None).sysctlbyname(_MACOS_BOOT, text, ctypes.byref(size), None, 0)
    return "" if failed else text.value.decode("ascii", "replace")


def is_alive(pid: int) -> bool:
    """Return whether a process with this number exists, of any user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists, and belongs to another user
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended and its parent has not noticed yet. False where this cannot be read."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == b"Z"


def environment() -> dict[str, str]:
    """Return an environment in which a new process imports the same batchrun as this one."""
    root = Path(batchrun.__file__).parent.parent
    if root.name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(root)]))}
