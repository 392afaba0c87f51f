"""The start of a command: what it imports, what it sets, and that Ctrl-C is one line then, never Python's traceback."""

import ctypes
import subprocess
import sys

import pytest

STOPPED_AT = """
import builtins, os, signal, sys
from batchrun.__main__ import main  # as the installed command does

real = builtins.__import__

def imported(name, *more):
    if name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *more)

builtins.__import__ = imported
main()
"""


@pytest.mark.parametrize("module", ["batchrun.cli.program", "click", "batchrun.cli", "batchrun.errors"])
def test_ctrl_c_while_the_command_is_imported_is_one_line(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_AT, module], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "interrupted before the command began\n")


def test_the_start_of_the_command_imports_little() -> None:
    """What is imported before `main` runs is not covered."""
    script = "import sys; import batchrun.__main__; print(*(name for name in sys.modules if 'batchrun' in name))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["batchrun", "batchrun.__main__"]


MALLINFO = """
import ctypes
libc = ctypes.CDLL(None)
class Info(ctypes.Structure):
    _fields_ = [("others", ctypes.c_int * 3), ("mapped", ctypes.c_int), ("more", ctypes.c_int * 6)]
libc.mallinfo.restype = Info
bytearray(8 << 20)  # freed at once
before = libc.mallinfo().mapped
large = bytearray(1 << 20)
print(libc.mallinfo().mapped - before)
"""


TAKE_LITTLE = "from batchrun.cli.memory import keep_buffers, take_little; take_little();"


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo"), reason="the C library is not glibc")
@pytest.mark.parametrize(
    ("begin", "mapped"), [("", 0), (TAKE_LITTLE, 1), (f"{TAKE_LITTLE} keep_buffers()", 0)], ids=["not", "run", "export"]
)
def test_a_large_buffer_is_given_back_to_the_system_however_large_the_ones_before_were(begin: str, mapped: int) -> None:
    """By default glibc puts it among others once a larger one was freed. An export wants that: it takes them again."""
    done = subprocess.run([sys.executable, "-c", begin + MALLINFO], capture_output=True, text=True, check=True)
    assert int(done.stdout) == mapped
