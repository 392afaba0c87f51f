"""A job by batches whose machine loses power again and again."""

import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

from harness.batch_job import BatchJob
from harness.power.cuts import differences, recording
from harness.power.disk import Disk, put, steps_in

_LONGEST_S = 1.5
"""Longest time from a run's first write to a cut."""

_AT_STEP = 0.7
"""Share of the cuts that come right when a batch has made a step."""


class PowerBatchJob(BatchJob):
    """A job by batches that is killed as by a power cut: what was not forced to the disk may be lost."""

    def __init__(self, *arguments: Any, library: Path, random: Random, **settings: Any) -> None:
        """Prepare; the arguments are those of `BatchJob`, and the compiled recorder."""
        super().__init__(*arguments, **settings)
        self._random, self._record = random, self.folder / "record"
        self.environment = recording(library, self.directory, self._record)
        self._disk = Disk(self.directory, is_strict=True)
        self.cuts = 0

    def cut(self) -> bool:
        """Run until a power cut; return whether the job was done before it."""
        code = self.run(self._wait)
        self._disk.follow(steps_in(self._record.read_bytes()))
        self._record.unlink()
        if code >= 0:
            self._expect(code)
            return True
        self.cuts += 1
        put(self.directory, self._disk.cut(self._random, self.directory))
        self._disk = Disk(self.directory, is_strict=self._random.random() < 0.5)
        return False

    def end(self) -> list[str]:
        """Run the job, again if it is done; return what is not as it was promised, or recorded otherwise than it is."""
        self._expect(self.run(None))
        self._disk.follow(steps_in(self._record.read_bytes()))
        return self.breaches() + [f"recorded otherwise: {name}" for name in differences(self._disk, self.directory)]

    def _expect(self, code: int) -> None:
        if code:
            raise RuntimeError(f"a run in {self.directory} has ended with exit code {code}:\n{self.printed()}")

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        """Wait for a random moment after the first write; often for the next sync after it, which ends a step."""
        while process.poll() is None and not self._recorded():
            time.sleep(0.005)
        until_s = time.monotonic() + _LONGEST_S * self._random.random() * self._random.random()
        while process.poll() is None and time.monotonic() < until_s:
            time.sleep(0.005)
        if self._random.random() < _AT_STEP:
            was, until_s = self._recorded(), time.monotonic() + _LONGEST_S
            while process.poll() is None and self._recorded() == was and time.monotonic() < until_s:
                time.sleep(0.0005)

    def _recorded(self) -> int:
        """Return how much is recorded."""
        return self._record.stat().st_size if self._record.exists() else 0
