"""A job whose machine loses power again and again, and files of a run that are cut off while a command writes them."""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from harness.audits import Audit
from harness.crashes import Job
from harness.power.disk import Disk, put, steps_in

LOST_S = 1.0
"""How old an answer may be that a power cut loses: what was settled is forced to the disk once a second."""

_SOURCE = Path(__file__).with_name("recorder.c")


def can_record() -> bool:
    """Return whether what a process writes can be recorded here."""
    return sys.platform == "linux" and shutil.which("gcc") is not None


@cache
def recorder(folder: Path) -> Path:
    """Compile the recorder."""
    library = folder / "recorder.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return library


def recording(library: Path, folder: Path, log: Path) -> dict[str, str]:
    """Return the environment in which a process is recorded."""
    return {"LD_PRELOAD": str(library), "RECORDED_FOLDER": str(folder.resolve()), "RECORD_LOG": str(log)}


class PowerJob(Job):
    """A job that is killed as by a power cut: what was not forced to the disk may be lost."""

    def __init__(self, *arguments: Any, library: Path, random: Random, **settings: Any) -> None:
        """Prepare; the arguments are those of `Job`, and the compiled recorder."""
        super().__init__(*arguments, random=random, **settings)
        self._grace_s = 2 * LOST_S
        self._log = self.folder / "log"
        self._environment = recording(library, self.directory, self._log)
        self._disk = Disk(self.directory, is_strict=True)

    def run(self, phase: str | None = None) -> bool:
        """Run as `Job` does; after a kill, the disk holds what it may hold after a power cut."""
        is_done = super().run(phase)
        if self._endings[-1].phase is not None:
            self._disk.follow(steps_in(self._log.read_bytes()))
            put(self.directory, self._disk.cut(self._random, self.directory))
            self._log.unlink()
            self._disk = Disk(self.directory, is_strict=self._random.random() < 0.5)
            self._look_at_files(self._endings[-1])
        return is_done

    def check_record(self) -> list[str]:
        """Return the files of which the record says another content than they have, when the job is done."""
        self._disk.follow(steps_in(self._log.read_bytes()))
        self._log.unlink()
        return differences(self._disk, self.directory)

    def audit(self) -> Audit:
        """Compare as `Job` does; what was in flight is known as of the last second only."""
        audit = super().audit()
        audit.breaches = [each for each in audit.breaches if not each.startswith("reported ")]
        return audit


def differences(disk: Disk, folder: Path) -> list[str]:
    """Return the names whose content is not the recorded one."""
    noted = {name: content for name, content in disk.now().items() if content is not None}
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return sorted(name for name in {*noted, *found} if noted.get(name) != found.get(name))
