"""Starts and watches the process that publishes a run (`process`), so that publishing never disturbs the run."""

import asyncio
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from batchrun.errors import PublishError
from batchrun.job.sections import Job
from batchrun.storage.processes import environment

_SILENCE_S = 600.0
"""How long the process may be silent before it is given up."""

_POLL_EVERY_S = 0.05

Say = Callable[[str], None]


class Worker:
    """The process that publishes, seen from the run."""

    def __init__(self, say: Say, **publication: Any) -> None:
        """Start the process.

        Args:
            say: gets its messages, from a thread.
            publication: fields of `process.Publication`.
        """
        self._say, self._follows = say, bool(publication.get("is_live"))
        self._heard_s = time.monotonic()
        self._failure = ""
        self._folder = tempfile.TemporaryDirectory(prefix="batchrun-publishing-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(  # noqa: S603  # this Python with our own arguments
            # -P: a folder `wandb` in the current directory, as W&B makes it, must not be imported as its SDK.
            [sys.executable, "-P", "-m", "batchrun.publish.process", orjson.dumps(publication).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # logs of the SDKs; our own errors come on stdout
            env=environment() | {"TMPDIR": self._folder.name},  # SDKs leave files there
            start_new_session=True,  # Ctrl-C goes to the run only, which ends this process
        )
        self._listener = threading.Thread(target=self._listen, name="batchrun-publishing", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._heard_s = time.monotonic()
                kind, text = _parsed(line)
                if kind == "failed":
                    self._failure = text
                if kind == "message" or (kind == "failed" and self._follows):
                    self._say(text)

    def end_run(self) -> None:
        """Report the end of the run to the process, and expect messages from now on: until now it had none to send."""
        self._heard_s = time.monotonic()
        self._follows = False
        assert self._process.stdin is not None
        with suppress(OSError):  # the process has ended already
            self._process.stdin.write(b"ended\n")
            self._process.stdin.flush()

    @property
    def is_stuck(self) -> bool:
        """Whether the process has been silent for too long."""
        return time.monotonic() - self._heard_s > _SILENCE_S

    def poll(self) -> int | None:
        """Return the exit code once the process has ended and all its messages were passed on; None before."""
        code = self._process.poll()
        if code is not None:
            self._close()
        return code

    @property
    def failure(self) -> str:
        """Why the process failed, once it has ended; empty where it did not fail."""
        code = self._process.returncode
        if not code or self._failure:
            return self._failure
        how = f"by a signal ({signal.strsignal(-code)})" if code < 0 else f"with code {code}"
        return f"the process that publishes was ended {how} and left no message"

    @property
    def exit_code(self) -> int:
        """Its exit code once it has ended; that of a failed publication where it ended without a message."""
        code: int = self._process.returncode
        return code if self._failure or not code else PublishError.exit_code

    def kill(self) -> None:
        """Kill the process and everything that its SDKs started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._listener.join()
        assert self._process.stdin is not None
        with suppress(OSError):  # the process no longer reads
            self._process.stdin.close()
        self._folder.cleanup()


def _parsed(line: bytes) -> tuple[str, str]:
    """Return kind and text of a message; two empty strings for a line that an SDK printed."""
    with suppress(orjson.JSONDecodeError):
        match orjson.loads(line):
            case [str(kind), str(text)]:
                return kind, text
    return "", ""


def publish(directory: Path, say: Say, **publication: Any) -> int:
    """Publish a run in a separate process and wait for it; return the exit code. Ctrl-C ends it."""
    try:
        worker = Worker(say, directory=str(directory), **publication)
    except OSError as problem:
        say(_no_process(problem))
        return PublishError.exit_code
    try:
        while worker.poll() is None:
            if worker.is_stuck:
                say(f"given up after {_SILENCE_S:.0f} s without a message; run the same command again to resume")
                return PublishError.exit_code
            time.sleep(_POLL_EVERY_S)
        if worker.failure:
            say(worker.failure)
        return worker.exit_code
    except KeyboardInterrupt:
        say("stopped; run the same command again to resume")
        return 130
    finally:
        if worker.poll() is None:
            worker.kill()


def _no_process(problem: OSError) -> str:
    return f"the process that publishes could not be started: {problem}"


class Publishing:
    """Publishes one run as its job says: to W&B while it runs, to Weave when it has ended."""

    def __init__(self, job: Job, say: Say, is_interrupted: Callable[[], bool]) -> None:
        """Prepare.

        Args:
            job: that is run.
            say: prints a line.
            is_interrupted: whether the user has asked the run to stop; asked twenty times a second.
        """
        self._publish, self._directory, self._say = job.publish, job.run_directory, say
        self._is_interrupted = is_interrupted
        self._was_stopped = False  # by an interruption that the run itself has followed
        self._follower: Worker | None = None
        self._failures: list[str] = []

    def begin(self) -> None:
        """Start the process that follows the run. Called when sending begins."""
        if self._publish.wandb is not None:
            self._follower = self._start(wandb=self._publish.wandb, is_live=True)

    def _start(self, **publication: Any) -> Worker | None:
        try:
            return Worker(self._say, directory=str(self._directory), **publication)
        except OSError as problem:
            self._failures.append(_no_process(problem))
            return None

    def abandon(self) -> None:
        """Stop waiting for the process that follows the run. It ends by what it finds in the run directory."""
        if self._follower is not None:
            self._follower.end_run()

    async def finish(self, *, is_completed: bool) -> str:
        """Publish how the run ended and wait for it. A stop signal or a cancellation ends the publishing.

        Args:
            is_completed: whether the run completed. A signal during a completed run came too late for it, so it ends
                the publishing.

        Returns:
            What was not published, why, and the cure; empty when all was published or a signal ended it.
        """
        self._was_stopped = self._is_interrupted() and not is_completed
        if self._follower is not None:
            self._follower.end_run()
            await self._wait(self._follower)
        if self._publish.weave is not None and self._was_stopped:
            self._say(f"note: not published; to publish what is settled, run: {self._command}")
        elif self._publish.weave is not None and (worker := self._start(weave=self._publish.weave)):
            await self._wait(worker)
        failures = [f"not published: {each}" for each in self._failures]
        return "\n".join(
            [*failures, f"the run itself is not affected; publish it again: {self._command}"] if failures else []
        )

    @property
    def _command(self) -> str:
        given = {name: value for name, value in dataclasses.asdict(self._publish).items() if value}
        words = [
            "batchrun",
            "publish",
            str(self._directory),
            *(word for name in given for word in (f"--{name}", given[name])),
        ]
        return shlex.join(words)

    async def _wait(self, worker: Worker) -> None:
        try:
            while worker.poll() is None:
                if self._is_interrupted() and not self._was_stopped:
                    self._say(f"note: publishing was stopped; resume it: {self._command}")
                    return
                if worker.is_stuck:
                    self._failures.append(f"the process that publishes was silent for {_SILENCE_S:.0f} s")
                    return
                await asyncio.sleep(_POLL_EVERY_S)
            if worker.failure:
                self._failures.append(worker.failure)
        finally:
            if worker.poll() is None:
                worker.kill()
