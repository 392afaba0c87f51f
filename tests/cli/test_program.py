"""Ctrl-C at any moment of a command's start is one line and exit code 130, never Python's traceback."""

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
