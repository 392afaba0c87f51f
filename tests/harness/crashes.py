"""A job that is killed in every phase and resumed until it is done. `audits` checks the result."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pyarrow.parquet as pq

from harness.audits import GRACE_S, MODEL, Audit, Ending, answer_to, audit_of
from harness.forks import start
from harness.ledger import Ledger

PHASES = ("start", "running", "draining", "exporting")

_QUIET_S = 0.03
"""Idle time of the endpoint after which no request of a dead client can arrive any more."""

_ENDING_S = 0.15
"""Approximate time from the last answer to the end of the process."""

_KEPT = {"results.parquet", "usage.parquet", "run.json", "checkpoint.sqlite", ".lock", ".lock.pid", ".in_flight"}
"""Files that may be in the directory of a finished job; SQLite's log may be there too."""

_REPORTED = re.compile(r"([\d,]+) rows? had been sent and not recorded")


class Job:
    """A file of different prompts, run in one directory until it is done, with many kills."""

    def __init__(
        self,
        folder: Path,
        base_url: str,
        ledger: Ledger,
        *,
        rows: int,
        in_flight: int,
        random: Random,
        longest_s: float = 0.5,
    ) -> None:
        """Write the prompts.

        Args:
            folder: for all files; each job has its own.
            base_url: of the endpoint.
            ledger: of the endpoint; only this job may use the endpoint.
            rows: number of prompts.
            in_flight: the ceiling.
            random: chooses the times of the kills.
            longest_s: longest time until it is killed or interrupted.
        """
        folder.mkdir(parents=True)
        self.folder, self.directory = folder, folder / "out"
        self._ledger, self._random, self._in_flight = ledger, random, in_flight
        self._prompts = [f"Say something about {folder.name} {number}." for number in range(rows)]
        lines = (orjson.dumps({"prompt": prompt}) for prompt in self._prompts)
        (folder / "in.jsonl").write_bytes(b"\n".join(lines))
        self._command = ["run", "in.jsonl", "-m", MODEL, "-o", "out", "--base-url", base_url, "-c", str(in_flight)]
        self._endings: list[Ending] = []
        self._breaches: list[str] = []
        self._first_bought = len(ledger.bought)
        self._all_bought = len(ledger.answered_by_request) + rows
        self._longest_s = longest_s
        self._environment: dict[str, str] = {}
        self._grace_s = GRACE_S
        self._startup_s = 0.4  # until the first request; then as it was the last time

    def run(self, phase: str | None = None) -> bool:
        """Run the job and kill it in a phase, or let it end; return whether it is done.

        With little work left a phase can be missed: then the run ends or is killed in another phase.

        Raises:
            RuntimeError: it ended with an unexpected exit code or message.
        """
        was_received = self._ledger.received
        with (self.folder / "stderr").open("w+") as stderr:
            process = self._start(self._command, stderr)
            try:
                interrupted = self._wait_for(phase, process, was_received) if phase else False
                ending = self._kill(process, was_received, interrupted) if phase else None
                if ending is None:
                    process.wait(timeout=60)
                    ending = Ending(None, time.monotonic(), self._quiet())
            finally:
                process.kill()  # it has not ended and was not killed
            stderr.seek(0)
            self._hear(process.returncode, stderr.read())
        self._endings.append(ending)
        self._look_at_files(ending)
        return process.returncode == 0

    @property
    def kills(self) -> int:
        """Number of kills."""
        return sum(ending.phase is not None for ending in self._endings)

    def inspect(self) -> None:
        """Check that `status` and `export` work after the last execution."""
        must_know = any(at_s < self._endings[-1].at_s - self._grace_s for at_s, _ in self._own_bought())
        for arguments in (["status", "out", "--json"], ["export", "out"]):
            with self._start(arguments, subprocess.PIPE, stdout=subprocess.PIPE) as process:
                stdout, stderr = process.communicate()
            if process.returncode:
                if must_know or process.returncode != 3:
                    self._breaches.append(f"{arguments[0]} after a kill exits with {process.returncode}: {stderr}")
                return
            if arguments[0] == "status":
                settled = json.loads(stdout)["completed"]
        found = self._results()
        if len(found) != settled:
            self._breaches.append(f"status says {settled} rows, and export writes {len(found)}")
        if any(row["response"] != answer_to(self._prompts[row["row"]]) for row in found):
            self._breaches.append("an export after a kill has a row with another row's answer")

    def audit(self) -> Audit:
        """Compare the bought answers with the results, when the job is done."""
        audit = audit_of(self._prompts, self._results(), self._own_bought(), self._endings)
        audit.breaches += self._breaches
        left = {path.name for path in self.directory.iterdir()} - _KEPT
        if left := {name for name in left if not name.startswith("checkpoint.sqlite-")}:
            audit.breaches.append(f"the job has left {sorted(left)}")
        return audit

    # Running and killing.

    def _start(self, arguments: list[str], stderr: Any, **settings: Any) -> subprocess.Popen[str]:
        # A cache of its own: a killed run has left a note there that the next would take for another run's, for 5 s.
        cache = self.folder / f"cache{len(self._endings)}"
        environment = os.environ | {"XDG_CACHE_HOME": str(cache), "OPENAI_API_KEY": "crash"} | self._environment
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": stderr} | settings
        return start(arguments, cwd=self.folder, env=environment, start_new_session=True, **pipes)

    def _wait_for(self, phase: str, process: subprocess.Popen[str], was_received: int) -> bool:
        """Wait for a random time in a phase; return whether the run was interrupted for that."""
        began_s = time.monotonic()
        if phase == "start":
            _wait(lambda: process.poll() is not None, self._random.uniform(0, self._startup_s))
            return False
        if _wait(lambda: process.poll() is not None or self._ledger.received > was_received):
            self._startup_s = time.monotonic() - began_s
        if self._random.random() < 0.5:
            _wait(lambda: self._is_full() or process.poll() is not None or self._is_all_bought())
        _wait(lambda: process.poll() is not None or self._is_all_bought(), self._random.uniform(0, self._longest_s))
        if phase == "running":
            return False
        if interrupts := not self._is_all_bought() and process.poll() is None:
            process.send_signal(signal.SIGINT)
        if phase == "draining":
            _wait(lambda: process.poll() is not None, self._random.uniform(0, self._longest_s))
            return interrupts
        _wait(lambda: process.poll() is not None or not self._ledger.in_flight)
        if self._random.random() < 0.5:
            _wait(lambda: process.poll() is not None or bool(self._halves(process)))
            _wait(lambda: process.poll() is not None, self._random.uniform(0, 0.01))
        else:
            _wait(lambda: process.poll() is not None, self._random.uniform(0, _ENDING_S))
        return interrupts

    def _kill(self, process: subprocess.Popen[str], was_received: int, interrupted: bool) -> Ending | None:
        """Kill a run; return the counts of the endpoint, or None if the run had ended."""
        ledger = self._ledger
        received, in_flight, at_s = ledger.received, ledger.in_flight, time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            return None
        recent = sum(at_s - GRACE_S <= when_s <= at_s for when_s, _ in ledger.bought[-10_000:])
        halves = self._halves(process)
        if received == was_received and not halves:
            phase = "start"
        elif interrupted or self._is_all_bought():
            phase = "draining" if in_flight else "exporting"
        else:
            phase = "exporting" if halves and not in_flight else "running"
        quiet_s = self._quiet()
        in_flight += ledger.received - received  # had been sent, and had not come yet
        return Ending(phase, at_s, quiet_s, in_flight, recent, bool(halves))

    def _halves(self, process: subprocess.Popen[str]) -> list[Path]:
        """Return the unfinished files of a process."""
        return list(self.directory.glob(f".*.{process.pid}.tmp"))

    def _is_full(self) -> bool:
        return self._ledger.in_flight >= self._in_flight

    def _is_all_bought(self) -> bool:
        return len(self._ledger.answered_by_request) >= self._all_bought

    def _quiet(self) -> float:
        """Wait until the endpoint has noticed that the client is gone; return the time."""
        while True:
            _wait(lambda: self._ledger.in_flight == 0)
            received = self._ledger.received
            time.sleep(_QUIET_S)
            if self._ledger.in_flight == 0 and self._ledger.received == received:
                return time.monotonic()

    def _hear(self, code: int, stderr: str) -> None:
        """Record what an execution reported about the one before it, and check its exit code."""
        if reported := _REPORTED.search(stderr):
            self._endings[-1].reported = int(reported[1].replace(",", ""))
        if code not in (0, 130, -signal.SIGKILL) or "Traceback" in stderr:
            raise RuntimeError(f"a run in {self.directory} has ended with exit code {code}:\n{stderr[-2000:]}")

    def _look_at_files(self, ending: Ending) -> None:
        """Check that the files that other programs read are complete at all times."""
        for name, read in (
            ("results.parquet", _read_parquet),
            ("usage.parquet", _read_parquet),
            ("run.json", _read_json),
        ):
            try:
                read(self.directory / name)
            except FileNotFoundError:
                pass
            except Exception as problem:  # noqa: BLE001 - whatever makes it unreadable
                self._breaches.append(f"{name} after a kill ({ending.phase}) cannot be read: {problem}")

    def _own_bought(self) -> list[tuple[float, str]]:
        return self._ledger.bought[self._first_bought :]

    def _results(self) -> list[dict[str, Any]]:
        return list(pq.read_table(self.directory / "results.parquet").to_pylist())


def _wait(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    """Wait until a condition is true or a time has passed; return whether it is true."""
    deadline_s = time.monotonic() + timeout_s
    while not (holds := condition()) and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return holds


def _read_parquet(path: Path) -> None:
    pq.read_table(path)


def _read_json(path: Path) -> None:
    json.loads(path.read_bytes())
