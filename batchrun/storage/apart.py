"""Calls functions in a process of their own, which may die without taking this one along.

Some clients end the process that they are in. The calls and what they return are pickled, over pipes that no other
program knows. As a program, this module is the process: `python -m batchrun.storage.apart`. It ends when its caller
does, also in the middle of a call.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, NoReturn, TypeVar

from batchrun.storage.processes import environment

T = TypeVar("T")

_MOST_DEATHS = 3
"""So often a call may end its process until it fails. Measured with Azure's client: 1 call in 1,000 does."""


class Apart:
    """A process for calls, one at a time; started by the first one. Safe to use from several threads."""

    def __init__(self, name: str) -> None:
        """Prepare; nothing is started.

        Args:
            name: whose functions these are, for the message when they cannot be called.
        """
        self._name = name
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a function of a module returns; raise what it raises. It must be safe to call again.

        Raises:
            OSError: its process died each time.
        """
        call = pickle.dumps((function, arguments))
        with self._lock:
            for _ in range(_MOST_DEATHS):
                try:
                    problem, result = self._asked(call)
                    break
                except (OSError, EOFError):
                    code = self._end()
                except BaseException:  # Ctrl-C: the answer to this call must not be taken for that to the next
                    self._end()
                    raise
            else:
                raise OSError(f"{self._name} has ended its process {_MOST_DEATHS} times (exit code {code})")
        if problem is not None:
            raise problem
        value: T = result
        return value

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _asked(self, call: bytes) -> tuple[Exception | None, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(call)
        process.stdin.flush()
        answer: tuple[Exception | None, Any] = pickle.load(process.stdout)  # noqa: S301  # our own process wrote it
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        """Return the process; a new one where credentials in the environment have changed."""
        if self._process is not None and self._environment != dict(os.environ):
            self._end()
        if self._process is None:
            self._environment = dict(os.environ)
            self._process = subprocess.Popen(  # noqa: S603  # this Python with our own module
                [sys.executable, "-m", __name__],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the last words of a client that dies
                start_new_session=True,  # Ctrl-C is for this process, which then ends the other
            )
        return self._process

    def _end(self) -> int | None:
        """End the process; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it may be dying already, and its code is wanted
            process.wait(1)
        process.kill()
        return process.wait()


def main() -> NoReturn:
    """Answer the calls on standard input until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed does not mix with the answers
    calls: queue.SimpleQueue[tuple[Callable[..., Any], Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, calls), daemon=True).start()
    while True:
        function, arguments = calls.get()
        try:
            answer: tuple[Exception | None, Any] = (None, function(*arguments))
        except Exception as problem:  # noqa: BLE001  # the caller's to handle
            answer = (problem.with_traceback(None), None)
        answers.write(_pickled(answer))
        answers.flush()


def _pickled(answer: tuple[Exception | None, Any]) -> bytes:
    try:
        content = pickle.dumps(answer)
        pickle.loads(content)  # noqa: S301  # some errors can be written and not read
    except Exception:  # noqa: BLE001  # whatever it is, the caller gets its words
        content = pickle.dumps((OSError(str(answer[0])), None))
    return content


def _listen(source: IO[bytes], calls: "queue.SimpleQueue[tuple[Callable[..., Any], Any]]") -> None:
    while True:
        try:
            calls.put(pickle.load(source))  # noqa: S301  # the caller has started this process
        except (EOFError, pickle.UnpicklingError):
            os._exit(0)  # the caller is gone, perhaps in the middle of a call


if __name__ == "__main__":
    main()
