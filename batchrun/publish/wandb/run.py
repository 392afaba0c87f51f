"""The W&B run that stands for a run of ours: the same one each time that ours goes on, or is published."""

import os
import shlex
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from batchrun.endpoint.key import wandb_server
from batchrun.errors import JobError
from batchrun.job.sections import Job
from batchrun.publish.errors import translated
from batchrun.publish.ledger import Ledger
from batchrun.publish.record import RunRecord
from batchrun.publish.wandb.figures import artifact_name, config, totals
from batchrun.report.content import write_report
from batchrun.results.run_directory import RESULTS

_INIT_S = 30.0
_UPLOAD_S = 500
_FINISH_S = 60.0
"""How long W&B may take to begin, to get the artifact, and to get the rest. The last two together are less than the
time after which a process of which nothing is heard is given up."""

_SETTINGS: Mapping[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "finish_timeout": _FINISH_S,
    "init_timeout": _INIT_S,
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,  # whose machine it ran on is nobody's business, nor what is on it
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}

Say = Callable[[str], None]


def is_offline() -> bool:
    """Return whether what W&B is shown stays on this machine.

    Raises:
        JobError: W&B is to be shown nothing at all.
    """
    mode = os.environ.get("WANDB_MODE", "")
    if mode == "disabled":
        raise JobError("WANDB_MODE = disabled: W&B would be shown nothing; unset it, or set it to offline")
    return mode in ("offline", "dryrun")


class WandbRun:
    """One publication. W&B is left alone until something is logged."""

    def __init__(self, job: Job, directory: Path, ledger: Ledger, project: str, identity: str, say: Say) -> None:
        """Look up what W&B has been shown.

        Args:
            job: its config.
            directory: of the run; W&B keeps its own files there, in `wandb`.
            ledger: remembers which W&B run it is.
            project: TEAM/PROJECT.
            identity: of our run: another one in the same directory is another W&B run too.
            say: told what is done.
        """
        self._job, self._directory, self._ledger, self._project = job, directory, ledger, project
        self._say = say
        self._note = f"wandb {wandb_server()} {project} {identity}"
        self._before: dict[str, Any] = ledger.fact(self._note) or {}
        self._id = str(self._before.get("id") or uuid4().hex[:12])
        self._is_offline = is_offline()
        self.has_begun = False
        """Whether anything was logged."""

    @property
    def is_known(self) -> bool:
        """Whether W&B has been shown an end of the run already: what is on this machine only is not there."""
        is_there = self._is_offline and bool(self._segments) if self._before.get("is_offline") else True
        return is_there and "fingerprint" in self._before

    @property
    def _segments(self) -> list[Path]:
        """What was recorded offline, each time that the run went on."""
        return list((self._directory / "wandb").glob(f"offline-run-*-{self._id}*"))

    def log(self, figures: dict[str, Any]) -> None:
        """Show how the run stands.

        Raises:
            EndpointRefused: the key is not taken.
            JobError: the SDK is not installed.
            PublishError: W&B is away, or refuses it.
        """
        with translated("wandb", self._project):
            self._run.log(figures)

    def has_shown(self, fingerprint: str) -> bool:
        """Return whether W&B has the run as it is."""
        return self.is_known and self._before["fingerprint"] == fingerprint

    def finish(self, record: RunRecord, fingerprint: str) -> None:
        """Show how the run ended, and say where that can be seen.

        Raises:
            PublishError: W&B is away, or refuses it.
            RunDirectoryError: the report cannot be written.
        """
        report = write_report(record.directory).path
        with translated("wandb", self._project):
            self._run.summary.update(totals(record.summary))
            self._send(artifact_name(record.name), record.directory / RESULTS, report)
            where = self._where()
            self._run.finish(exit_code=int(record.summary.state in ("stopped", "interrupted")))
        self._ledger.note(self._note, {"id": self._id, "is_offline": self._is_offline, "fingerprint": fingerprint})
        self._say(f"wandb: {self._project}: {where}")

    def _send(self, name: str, *files: Path) -> None:
        artifact = self._wandb.Artifact(name, type="results")
        for path in files:  # sent later, it must be a copy
            artifact.add_file(str(path), name=path.name, policy="mutable" if self._is_offline else "immutable")
        logged = self._run.log_artifact(artifact)
        if not self._is_offline:
            self._say(f"wandb: {self._project}: sending {' and '.join(path.name for path in files)}")
            logged.wait(timeout=_UPLOAD_S)

    @property
    def _wandb(self) -> Any:
        try:
            return import_module("wandb")
        except ImportError as problem:
            raise JobError(
                f"W&B's SDK is missing ({problem}); in the checkout of batchrun: pip install '.[wandb]'"
            ) from problem

    @cached_property
    def _run(self) -> Any:
        """The SDK's run, begun when it is first asked for."""
        team, name = self._project.split("/")
        run = self._wandb.init(
            entity=team,
            project=name,
            id=self._id,
            name=self._directory.resolve().name,
            mode="offline" if self._is_offline else "online",
            resume=self._resume,
            dir=str(self._directory),
            job_type="batchrun",
            config=config(self._job),
            settings=self._wandb.Settings(**_SETTINGS, root_dir=str(self._directory)),
        )
        self.has_begun = True
        self._ledger.note(self._note, {"id": self._id, "is_offline": self._is_offline})
        return run

    @property
    def _resume(self) -> str | None:
        """Whether W&B is to go on with a run that it has: of parts that are sent later, only `must` adds to it."""
        if not self._is_offline:
            return "allow"
        has_more = self._segments or self._before.get("is_offline") is False
        return "must" if has_more else None

    def _where(self) -> str:
        if self._is_offline:  # the folder, not what was just recorded: W&B sends the parts of a run in their order
            return f"kept on this machine; send it by: wandb sync {shlex.quote(str(self._directory / 'wandb'))}"
        return str(self._run.url)
