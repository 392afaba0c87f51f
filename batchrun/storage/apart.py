"""Calls functions in a process of their own, which may die or hang without taking this one along.

Some clients end the process that they are in, or wait without end for a reply. The calls and what they return are
pickled, over pipes that no other program knows. A process that is silent for too long is killed, and only once it is
gone is the call made again by a new one: there are never two that write the same file. As a program, this module is the
process: `python -m batchrun.storage.apart`. It ends when its caller does, also in the middle of a call.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from threading import Timer
from typing import IO, Any, BinaryIO, NoReturn, Self, TypeVar

from batchrun.storage.processes import environment

T = TypeVar("T")

_MOST_DEATHS = 3
"""So often a call may end its process until it fails. Measured with Azure's client: 1 call in 1,000 does."""

_MOST_SILENCES = 2
"""So often a call may be given up as hanging until it fails. A server that does not answer seldom does so twice."""


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

    def call(self, function: Callable[..., T], *arguments: Any, patience_s: float = 120.0) -> T:
        """Return what a function of a module returns; raise what it raises. It must be safe to call again.

        Args:
            function: what to call.
            arguments: of the function.
            patience_s: its process is killed when it neither returns nor calls `advance` for this long; > 0.

        Raises:
            OSError: its process died or was silent each time.
        """
        call = pickle.dumps(pickle.dumps((function, arguments)))
        with self._lock:
            problem, result = self._answered(call, patience_s)
        if problem is not None:
            raise problem
        value: T = result
        return value

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _answered(self, call: bytes, patience_s: float) -> tuple[Exception | None, Any]:
        """Return the answer to a call: what it has raised, or what it returns."""
        deaths = silences = 0
        while True:
            try:
                return self._asked(call, patience_s)
            except TimeoutError:
                self._end()
                silences += 1
                if silences == _MOST_SILENCES:
                    cause = f"{silences} times in a row; the store or the network does not respond"
                    raise OSError(f"{self._name} was silent for {patience_s:g} s, {cause}") from None
            except (OSError, EOFError, pickle.UnpicklingError):  # its last answer may be cut off
                code = self._end()
                deaths += 1
                if deaths == _MOST_DEATHS:
                    raise OSError(f"{self._name} has ended its process {deaths} times (exit code {code})") from None
            except BaseException:  # Ctrl-C: the answer to this call must not be taken for that to the next
                if self._process is not None:
                    self._process.kill()
                self._end()
                raise

    def _asked(self, call: bytes, patience_s: float) -> tuple[Exception | None, Any]:
        """Return the answer to a call. Raises `TimeoutError` when there is none in time; the process is then killed."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        with _Patience(process, patience_s) as patience:
            process.stdin.write(call)
            process.stdin.flush()
            while (answer := pickle.load(process.stdout)) is None:  # noqa: S301  # our own process wrote it
                patience.renew()
        found: tuple[Exception | None, Any] = answer
        return found

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


class _Patience:
    """Kills a process that has been silent for too long: the reader of its output then sees the end."""

    def __init__(self, process: subprocess.Popen[bytes], limit_s: float) -> None:
        self._process = process
        self._limit_s = limit_s
        self._is_over = False

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, kind: object, problem: object, trace: object) -> None:
        self._timer.cancel()
        if self._is_over and isinstance(problem, OSError | EOFError | pickle.UnpicklingError):
            raise TimeoutError from None

    def renew(self) -> None:
        """Begin to wait again: the process has advanced."""
        self._timer.cancel()
        self._start()

    def _start(self) -> None:
        self._timer = Timer(self._limit_s, self._kill)
        self._timer.daemon = True
        self._timer.start()

    def _kill(self) -> None:
        self._is_over = True
        self._process.kill()


_answers: list[BinaryIO] = []
"""Where the answers go, in the process of the calls; elsewhere nothing."""


def advance() -> None:
    """Report that a long call has advanced, so that it is not taken for one that hangs. Elsewhere, do nothing."""
    for answers in _answers:
        answers.write(pickle.dumps(None))
        answers.flush()


def main() -> NoReturn:
    """Answer the calls on standard input until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    _answers.append(answers)
    os.dup2(2, 1)  # whatever else is printed does not mix with the answers
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, calls), daemon=True).start()
    while True:
        call = calls.get()
        try:
            function, arguments = pickle.loads(call)  # noqa: S301  # the caller has started this process
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


def _listen(source: IO[bytes], calls: "queue.SimpleQueue[bytes]") -> None:
    """Pass the calls on unread: to read one imports modules, which may fail, and then the caller gets the reason."""
    while True:
        try:
            calls.put(pickle.load(source))  # noqa: S301  # the caller has started this process
        except (EOFError, pickle.UnpicklingError):
            os._exit(0)  # the caller is gone, perhaps in the middle of a call


if __name__ == "__main__":
    from batchrun.storage import apart  # the module that the functions called here import, not a second one

    apart.main()
