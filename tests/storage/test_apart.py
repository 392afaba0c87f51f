"""A call that ends its process ends no other."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.errors import InputError
from batchrun.storage import apart as apart_module
from batchrun.storage.apart import Apart
from batchrun.storage.processes import environment


@pytest.fixture
def apart() -> Iterator[Apart]:
    """A process for calls, ended after the test."""
    made = Apart("the client")
    yield made
    made.close()


def test_a_call_returns_what_the_function_returns(apart: Apart) -> None:
    """In another process, which is the same one for the next call."""
    numbers = [apart.call(os.getpid) for _ in range(2)]
    assert numbers[0] == numbers[1] != os.getpid()
    assert apart.call(len, b"x" * 9_000_000) == 9_000_000
    assert len(apart.call(os.urandom, 9_000_000)) == 9_000_000


def test_what_is_raised_there_is_raised_here(apart: Apart) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere") as caught:
        apart.call(os.stat, "nowhere")
    assert caught.value.errno == 2
    with pytest.raises(InputError, match=r"^a: no$"):
        apart.call(refuse, "a: no")


def refuse(words: str) -> None:
    """Raise one of batchrun's errors."""
    raise InputError(words)


def test_a_call_whose_process_dies_is_made_again(apart: Apart, tmp_path: Path) -> None:
    """The second process succeeds."""
    assert apart.call(die_once, str(tmp_path / "tried")) == "done"


def die_once(path: str) -> str:
    """End the process as an uncaught exception of C++ does, the first time."""
    if not Path(path).exists():
        Path(path).touch()
        os.abort()
    return "done"


def test_a_call_that_always_dies_fails_and_the_next_one_works(apart: Apart) -> None:
    with pytest.raises(OSError, match=rf"the client has ended its process 3 times \(exit code -{signal.SIGABRT}\)"):
        apart.call(os.abort)
    assert apart.call(abs, -1) == 1


def test_what_is_printed_there_does_not_mix_with_the_answers(apart: Apart) -> None:
    assert apart.call(print, "words") is None
    assert apart.call(os.write, 1, b"words") == 5


def test_an_interrupted_call_leaves_no_answer_to_the_next(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after Ctrl-C in a notebook."""

    def interrupted(source: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(apart_module.pickle, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            apart.call(abs, -1)
    assert apart.call(abs, -2) == 2


def test_new_credentials_in_the_environment_are_used(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apart.call(os.getenv, "AZURE_STORAGE_KEY") is None
    monkeypatch.setenv("AZURE_STORAGE_KEY", "new")
    assert apart.call(os.getenv, "AZURE_STORAGE_KEY") == "new"


def test_threads_take_turns(apart: Apart) -> None:
    found: dict[int, int] = {}

    def ask(number: int) -> None:
        found[number] = apart.call(abs, -number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(20)}


def test_it_ends_with_its_caller_also_in_the_middle_of_a_call() -> None:
    """A killed run must not go on uploading: the same command may be running again."""
    program = """
import os, time
from batchrun.storage.apart import Apart
made = Apart("x")
print(made.call(os.getpid), flush=True)
made.call(time.sleep, 600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment()) as caller:
        assert caller.stdout is not None
        number = int(caller.stdout.readline())
        caller.kill()
    for _ in range(500):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    os.kill(number, signal.SIGKILL)
    pytest.fail("it is still alive")
