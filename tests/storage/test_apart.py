"""A call that ends its process, or never returns, does so to no other process."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from batchrun.errors import InputError
from batchrun.storage import apart as apart_module
from batchrun.storage.apart import Apart, advance
from batchrun.storage.processes import environment, is_alive

TimeIsUp = Callable[[Callable[[], bool]], Any]
"""The fixture. Its type is not imported: the other process imports this module too, and knows no `harness`."""


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


def test_a_function_that_does_not_exist_there_is_an_error(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller does not wait for an answer that never comes."""
    exec("def do(): pass", (module := ModuleType("only_here")).__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(ModuleNotFoundError, match="only_here"):
        apart.call(module.do)
    assert apart.call(abs, -1) == 1


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


def test_an_answer_that_is_cut_off_by_a_death_is_not_taken(apart: Apart, tmp_path: Path) -> None:
    """The process dies in the middle of writing it."""
    assert apart.call(answer_in_part, str(tmp_path / "tried")) == "done"


def answer_in_part(path: str) -> str:
    """Write the beginning of an answer and die, the first time."""
    if not Path(path).exists():
        Path(path).touch()
        answers = apart_module._answers[0]
        answers.write(pickle.dumps((None, "never"))[:-4])
        answers.flush()
        os.abort()
    return "done"


def test_a_call_that_hangs_is_made_again_by_a_new_process_once_the_old_one_is_gone(
    apart: Apart, tmp_path: Path, time_is_up: TimeIsUp
) -> None:
    """Two processes that write the same file would spoil it."""
    (tmp_path / "tried").touch()

    def hangs() -> bool:
        numbers = (tmp_path / "tried").read_text().split()
        return len(numbers) == 1 and is_alive(int(numbers[0]))

    time_is_up(hangs)
    assert apart.call(hang_once, str(tmp_path / "tried")) == "done"
    old, new = map(int, (tmp_path / "tried").read_text().split())
    assert old != new == apart.call(os.getpid)
    assert not is_alive(old)


def hang_once(path: str) -> str:
    """Never return, the first time. The second time, note whether the first process is still there."""
    earlier = Path(path).read_text().split()
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()} ")
    if not earlier:
        time.sleep(600)
    return "two writers" if is_alive(int(earlier[0])) else "done"


def test_a_call_that_always_hangs_fails_and_the_next_one_works(apart: Apart) -> None:
    expected = r"^the client was silent for 0\.5 s, 2 times in a row; the store or the network does not respond$"
    with pytest.raises(OSError, match=expected):
        apart.call(time.sleep, 600, patience_s=0.5)
    assert apart.call(abs, -1) == 1


def test_a_process_that_does_not_even_read_is_given_up(apart: Apart, time_is_up: TimeIsUp) -> None:
    """A client that holds Python's lock while it hangs stops the thread that reads; the call does not fit the pipe."""
    number = apart.call(os.getpid)
    os.kill(number, signal.SIGSTOP)
    time_is_up(lambda: is_alive(number))
    assert apart.call(len, b"x" * 9_000_000) == 9_000_000
    assert not is_alive(number)


def test_a_long_call_that_advances_is_not_taken_for_one_that_hangs(apart: Apart, time_is_up: TimeIsUp) -> None:
    """Its time starts again with each report."""
    timers = time_is_up(lambda: False)
    assert apart.call(advance_often) == "done"
    assert timers.made == 1 + 20


def advance_often() -> str:
    """Report 20 times."""
    for _ in range(20):
        advance()
    return "done"


def test_to_advance_means_nothing_in_any_other_process() -> None:
    advance()


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
from batchrun.storage.apart import Apart, advance
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
