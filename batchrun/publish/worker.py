"""Has a run published by a process of its own, `publisher`, so that nothing of it is ever in the run's way."""

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

import batchrun
from batchrun.errors import PublishError
from batchrun.job.sections import Job
from batchrun.records import Stop

_SILENCE_S = 600.0
"""How long nothing may be heard of a process that publishes, until it is given up."""

_LOOK_EVERY_S = 0.05

Say = Callable[[str], None]
Drain = Callable[[Stop], None]


class Worker:
    """A process that publishes."""

    def __init__(self, say: Say, **publication: Any) -> None:
        """Start it.

        Args:
            say: told what it says, from a thread.
            publication: fields of `publisher.Publication`.
        """
        self._say, self._follows = say, bool(publication.get("is_live"))
        self._heard_s = time.monotonic()
        self._failure = ""
        self._folder = tempfile.TemporaryDirectory(prefix="batchrun-publishing-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(  # noqa: S603  # this Python, and our own words
            # Safe path: a folder `wandb`, as W&B makes it where one stands, must not be taken for its SDK.
            [sys.executable, "-P", "-m", "batchrun.publish.process", orjson.dumps(publication).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what SDKs log is not for people; what went wrong is said on stdout
            env=_environment() | {"TMPDIR": self._folder.name},  # which SDKs leave full
            start_new_session=True,  # Ctrl-C is for the run, which says when to end
        )
        self._listener = threading.Thread(target=self._listen, name="batchrun-publishing", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            for line in said:
                self._heard_s = time.monotonic()
                kind, text = _understood(line)
                if kind == "failed":
                    self._failure = text
                if kind == "said" or (kind == "failed" and self._follows):
                    self._say(text)

    def end_run(self) -> None:
        """Tell it that the run has ended, and begin to wait for a word of it: until now it had nothing to say."""
        self._heard_s = time.monotonic()
        self._follows = False
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended before
            self._process.stdin.write(b"ended\n")
            self._process.stdin.flush()

    @property
    def is_stuck(self) -> bool:
        """Whether it has said nothing for too long."""
        return time.monotonic() - self._heard_s > _SILENCE_S

    def poll(self) -> int | None:
        """Return its exit code once it has ended and all that it said is told; None before."""
        code = self._process.poll()
        if code is not None:
            self._close()
        return code

    @property
    def failure(self) -> str:
        """Why it failed, once it has ended; empty where it did not."""
        code = self._process.returncode
        if not code or self._failure:
            return self._failure
        how = f"by a signal ({signal.strsignal(-code)})" if code < 0 else f"with code {code}"
        return f"the process that publishes was ended {how}, and did not say why"

    @property
    def exit_code(self) -> int:
        """How it ended, once it has: as it says, and where it did not come to say anything, as what did not succeed."""
        code: int = self._process.returncode
        return code if self._failure or not code else PublishError.exit_code

    def kill(self) -> None:
        """End it at once, and what its SDKs have started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._listener.join()
        assert self._process.stdin is not None
        with suppress(OSError):  # what it no longer reads
            self._process.stdin.close()
        self._folder.cleanup()


def _understood(line: bytes) -> tuple[str, str]:
    """Return the kind and the text of what a publisher says; nothing where its SDKs print something."""
    with suppress(orjson.JSONDecodeError):
        match orjson.loads(line):
            case [str(kind), str(text)]:
                return kind, text
    return "", ""


def _environment() -> dict[str, str]:
    """Return the environment for a process that finds batchrun where this one has it."""
    root = Path(batchrun.__file__).parent.parent
    if root.name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(root)]))}


def publish(directory: Path, say: Say, **publication: Any) -> int:
    """Publish a run in a process of its own, and wait for that; return the exit code. Ctrl-C ends it."""
    try:
        worker = Worker(say, directory=str(directory), **publication)
    except OSError as problem:
        say(_no_process(problem))
        return PublishError.exit_code
    try:
        while worker.poll() is None:
            if worker.is_stuck:
                say(f"given up after {_SILENCE_S:.0f} s of silence; the same command goes on from there")
                return PublishError.exit_code
            time.sleep(_LOOK_EVERY_S)
        if worker.failure:
            say(worker.failure)
        return worker.exit_code
    except KeyboardInterrupt:
        say("stopped; the same command goes on from there")
        return 130
    finally:
        if worker.poll() is None:
            worker.kill()


def _no_process(problem: OSError) -> str:
    return f"no process could be started to publish: {problem}"


class Publishing:
    """Publishes one run as its job says: to W&B while it goes on, to Weave when it has ended."""

    def __init__(self, job: Job, say: Say) -> None:
        self._publish, self._directory, self._say = job.publish, job.run_directory, say
        self._follower: Worker | None = None
        self._failures: list[str] = []
        self._is_told_to_stop = False

    def begin(self, drain: Drain, on_start: Callable[[Drain], None]) -> None:
        """Start what follows the run; called as sending begins, with what drains the run and who wants to know that."""

        def stop(reason: Stop) -> None:
            self._is_told_to_stop = True
            drain(reason)

        on_start(stop)
        if self._publish.wandb is not None:
            self._follower = self._start(wandb=self._publish.wandb, is_live=True)

    def _start(self, **publication: Any) -> Worker | None:
        try:
            return Worker(self._say, directory=str(self._directory), **publication)
        except OSError as problem:
            self._failures.append(_no_process(problem))
            return None

    def abandon(self) -> None:
        """Leave what follows the run to itself: it ends by what the run directory says."""
        if self._follower is not None:
            self._follower.end_run()

    async def finish(self, *, is_completed: bool) -> str:
        """Publish how the run ended, and wait for that; being told to stop, or cancelled, ends it.

        Args:
            is_completed: whether the run was: then who told it to stop came too late for it, and ends this.

        Returns:
            What was not published, why, and what to do; empty when all was, or when that was told to stop.
        """
        was_stopped = self._is_told_to_stop and not is_completed
        self._is_told_to_stop = self._is_told_to_stop and is_completed
        if self._follower is not None:
            self._follower.end_run()
            await self._wait(self._follower)
        if self._publish.weave is not None and was_stopped:
            self._say(f"note: not published; when the run is complete, or now: {self._command}")
        elif self._publish.weave is not None and (worker := self._start(weave=self._publish.weave)):
            await self._wait(worker)
        failures = [f"not published: {each}" for each in self._failures]
        return "\n".join(
            [*failures, f"the run is as it should be; publish it again: {self._command}"] if failures else []
        )

    @property
    def _command(self) -> str:
        told = {name: value for name, value in dataclasses.asdict(self._publish).items() if value}
        words = [
            "batchrun",
            "publish",
            str(self._directory),
            *(word for name in told for word in (f"--{name}", told[name])),
        ]
        return shlex.join(words)

    async def _wait(self, worker: Worker) -> None:
        try:
            while worker.poll() is None:
                if self._is_told_to_stop:
                    self._say(f"note: publishing was ended before it was done; go on with: {self._command}")
                    return
                if worker.is_stuck:
                    self._failures.append(f"nothing was heard of it for {_SILENCE_S:.0f} s")
                    return
                await asyncio.sleep(_LOOK_EVERY_S)
            if worker.failure:
                self._failures.append(worker.failure)
        finally:
            if worker.poll() is None:
                worker.kill()
