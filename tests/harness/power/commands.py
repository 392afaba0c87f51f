"""Commands that write a finished run's directory, cut off by power cuts: what is left must be whole, and enough."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, closing
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.checkpoint.salvage.rescue import recover
from batchrun.checkpoint.tables import FILE_NAME, LOGS
from batchrun.errors import BatchrunError
from batchrun.results.export import export
from batchrun.results.run_directory import RESULTS, USAGE
from harness.alike import text_of
from harness.checkpoints import log_kept, outcomes_in
from harness.damage import damage
from harness.power.cuts import recording
from harness.power.disk import Disk, put, steps_in
from harness.prompts import write_rows
from harness.settled import settle

OLD, NEW = 600, 700
"""Rows of the results before the command, and after it."""

_SENT = 30
"""Rows of a run that a command carries out."""

_FRAME = f"""
import batchrun
rows = [{{"text": str(row)}} for row in range({_SENT})]
batchrun.answer(rows, "Say {{{{ text }}}}", model="m", out="out", simulate=True)
"""

_OUT = Path("out")

_NAMINGS = ("rename", "link", "unlink")
"""Steps that change a name: every other cut comes right after one, since they are few and a file may be gone then."""

_BODIES = "SELECT body FROM outcomes WHERE body IS NOT NULL UNION ALL SELECT body FROM retired WHERE body IS NOT NULL"


class Cuts:
    """Power cuts of one command at random moments."""

    def __init__(self, folder: Path, library: Path, random: Random, count: int) -> None:
        """Prepare.

        Args:
            folder: new; the run directory is `out` in it.
            library: the compiled recorder.
            random: chooses the moments, and what is lost.
            count: how many.
        """
        folder.mkdir()
        self.folder, self._library, self._random, self._count = folder, library, random, count
        self._input = ""
        self.breaches: list[str] = []

    def export(self) -> None:
        """Cut an export that replaces results."""
        with chdir(self.folder):
            rows = _finished()
            self._cut(["-m", "batchrun", "export", "out"], lambda: _check_results(rows))

    def upload(self) -> None:
        """Cut an export with upload: what is in the store then is the store's affair."""
        with chdir(self.folder):
            rows = _finished()
            Path("store/bkt/there").mkdir(parents=True)
            store = ["-m", "harness.power.uploading", "store", "export", "out", "--upload", "s3://bkt/there"]
            self._cut(store, lambda: _check_results(rows))

    def salvage(self) -> None:
        """Cut the salvage of a damaged checkpoint: it is in place, or kept, and nothing that was whole is lost."""
        with chdir(self.folder):
            _finished()
            damage(_OUT / FILE_NAME, "noise in the middle", self._random)
            damaged = (_OUT / FILE_NAME).read_bytes()
            shutil.copytree("out", "aside")
            recover(Path("aside"))
            whole = {each.row for each in outcomes_in(Path("aside"))}
            self._cut(["-m", "batchrun", "export", "out", "--salvage"], lambda: _check_salvage(whole, damaged))

    def restart(self) -> None:
        """Cut a run that starts over: the old checkpoint is in place or kept, with all that its log has."""
        with chdir(self.folder):
            _settle_and_kill()
            command = ["-m", "batchrun", "run", "in.jsonl", "-m", "m", "-o", "out", "--simulate", "--restart"]
            self._cut(command, lambda: self._check_restart(command))

    def edit(self) -> None:
        """Cut a run after an edit of its input: answers that still fit are not bought again, and the others stay."""
        with chdir(self.folder):
            _settle(_SENT)
            kept = [f"p{row}" for row in range(_SENT) if row % 7]
            write_rows("in.jsonl", *({"prompt": prompt} for prompt in ["new", *reversed(kept)]))
            command = ["-m", "batchrun", "run", "in.jsonl", "-m", "m", "-o", "out", "--simulate", "--yes"]
            self._cut(command, lambda: self._check_edit(command, kept))

    def frame(self) -> None:
        """Cut a run whose input is data of a Python program."""
        with chdir(self.folder):
            self._cut_run(["-c", _FRAME])

    def pipe(self) -> None:
        """Cut a run whose input comes over standard input."""
        with chdir(self.folder):
            self._cut_run(["-m", "batchrun", "run", "-", "-m", "m", "-o", "out", "--simulate"])

    def _cut_run(self, command: Sequence[str]) -> None:
        _OUT.mkdir()
        self._input = "".join(f'{{"prompt": "p{row}"}}\n' for row in range(_SENT))
        self._cut(command, lambda: self._check_again(command))

    def _check_again(self, command: Sequence[str]) -> None:
        """The same command resumes, and then all rows are there."""
        done = self._run(command, {})
        assert done.returncode == 0, done.stderr[-500:]
        assert pq.read_table(_OUT / RESULTS).num_rows == _SENT

    def _check_restart(self, command: Sequence[str]) -> None:
        """The same command starts over, whatever of it was done; the answers of before are all in one checkpoint."""
        self._check_again(command)
        counts = [len(_old_answers_in(path)) for path in _OUT.glob(f"*{FILE_NAME}")]
        assert max(counts) == _SENT, f"the kept checkpoints have {counts} of {_SENT} answers"

    def _check_edit(self, command: Sequence[str], kept: Sequence[str]) -> None:
        done = self._run(command, {})
        assert done.returncode == 0, done.stderr[-500:]
        rows = pq.read_table(_OUT / RESULTS).to_pylist()
        assert [row["prompt"] for row in rows] == ["new", *reversed(kept)]
        again = [row["prompt"] for row in rows[1:] if row["response"] != text_of(int(row["prompt"][1:]))]
        assert not again, f"{again} were bought again"
        gone = {*range(_SENT)} - _old_answers_in(_OUT / FILE_NAME)
        assert not gone, f"{len(gone)} answers are gone that an undone edit would need"

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        paths = {"PYTHONPATH": os.pathsep.join(sys.path), "OPENAI_API_KEY": "power"}
        return subprocess.run(
            [sys.executable, *command],
            env=os.environ | paths | environment,
            input=self._input,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def _cut(self, command: Sequence[str], check: Callable[[], None]) -> None:
        log = Path("log").absolute()
        disks = [Disk(_OUT, is_strict=self._random.random() < 0.5) for _ in range(self._count)]
        done = self._run(command, recording(self._library, _OUT, log))
        if done.returncode:
            self.breaches.append(f"{command} exits with {done.returncode}: {done.stderr[-500:]}")
        steps = list(steps_in(log.read_bytes()))
        namings = [number for number, step in enumerate(steps, start=1) if step.kind in _NAMINGS]
        for number, disk in enumerate(disks):
            moment = self._random.choice(namings) if number % 2 and namings else self._random.randint(0, len(steps))
            disk.follow(steps[:moment])
            put(_OUT, disk.cut(self._random))
            try:
                check()
            except (AssertionError, BatchrunError, OSError, pa.ArrowException) as problem:
                self.breaches.append(f"{command}, cut after step {moment} of {len(steps)}: {problem!r}")


def _old_answers_in(path: Path) -> set[int]:
    """Return the rows whose old answers a checkpoint has, retired ones too; the file is not changed."""
    with tempfile.TemporaryDirectory() as folder:
        for log in ("", *LOGS):
            if (found := path.with_name(path.name + log)).exists():
                shutil.copy(found, Path(folder, FILE_NAME + log))
        with closing(sqlite3.connect(Path(folder, FILE_NAME))) as connection:
            is_made = connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
            bodies = {body for (body,) in connection.execute(_BODIES)} if is_made else set()
    return {row for row in range(_SENT) if any(text_of(row).encode() in body for body in bodies)}


def _finished() -> list[int]:
    """Make a finished run whose results have some of its rows; return all rows."""
    _settle(OLD)
    export(_OUT)
    _OUT.rename("old")
    _settle(NEW)
    for name in (RESULTS, USAGE):
        Path("old", name).rename(_OUT / name)
    return list(range(NEW))


def _settle(rows: int) -> None:
    settle([{"prompt": f"p{row}"} for row in range(rows)], lambda request: text_of(request.row))


def _settle_and_kill() -> None:
    """Make what a killed run leaves: all that it has settled is in the checkpoint's log."""
    with log_kept(_OUT):
        _settle(_SENT)
        shutil.copytree(_OUT, "killed")
    shutil.rmtree(_OUT)
    Path("killed").rename(_OUT)


def _check_results(rows: list[int]) -> None:
    """Results are the old or the new ones, and can be written again."""
    found = pq.read_table(_OUT / RESULTS)["row"].to_pylist()
    assert found in (rows, rows[:OLD]), f"the results have {len(found)} rows"
    pq.read_table(_OUT / USAGE)
    export(_OUT)
    assert pq.read_table(_OUT / RESULTS)["row"].to_pylist() == rows
    left = [path.name for path in _OUT.glob(".*.tmp")]
    assert not left, f"{left} are left"


def _check_salvage(whole: set[int], damaged: bytes) -> None:
    kept = [path for path in _OUT.glob(f"*{FILE_NAME}") if path.read_bytes() == damaged]
    assert kept, "the damaged checkpoint is gone"
    recover(_OUT)
    found = {each.row for each in outcomes_in(_OUT)}
    assert found >= whole, f"{len(whole - found)} rows are lost"
    assert [path for path in _OUT.glob(f"damaged.*{FILE_NAME}") if path.read_bytes() == damaged]
    export(_OUT)
    assert not list(_OUT.glob(".*.tmp"))
