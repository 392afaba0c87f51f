"""A share of a core for a process, by Linux control groups; needs the rights of root."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_PERIOD_US = 20_000

_OLD, _NEW = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


class Quotas:
    """Groups of one process each; the processes are put back at the end of the context."""

    def __init__(self, share: float) -> None:
        """Prepare.

        Args:
            share: of a core, for each process.
        """
        self._quota_us = int(share * _PERIOD_US)
        self._is_old = _OLD.is_dir()
        self._root = _OLD if self._is_old else _NEW
        self._groups: list[Path] = []

    def set_for(self, pid: int) -> None:
        """Limit a process from now on.

        Raises:
            OSError: this machine does not allow it.
        """
        group = self._root / f"batchrun-benchmark-{os.getpid()}-{pid}"
        group.mkdir()
        self._groups.append(group)
        if self._is_old:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(self._quota_us))
        else:
            (group / "cpu.max").write_text(f"{self._quota_us} {_PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))

    def end(self) -> None:
        """Remove the groups."""
        for group in self._groups:
            with contextlib.suppress(OSError):
                for pid in (group / "cgroup.procs").read_text().split():
                    (self._root / "cgroup.procs").write_text(pid)
            with contextlib.suppress(OSError):
                group.rmdir()


@contextlib.contextmanager
def quotas(share: float) -> Iterator[Quotas]:
    """Yield groups that end with the context."""
    groups = Quotas(share)
    try:
        yield groups
    finally:
        groups.end()
