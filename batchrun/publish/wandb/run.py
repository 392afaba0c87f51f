"""The W&B run of one run directory: the same one in every execution and each time it is published."""

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
"""How long W&B may take to start, to receive the artifact, and to receive the rest. The last two together are shorter
than the silence after which `worker` gives up the process."""

_SETTINGS: Mapping[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "finish_timeout": _FINISH_S,
    "init_timeout": _INIT_S,
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,  # facts about the user's machine are not published
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}

Say = Callable[[str], None]


def is_offline() -> bool:
    """Return whether W&B works offline: then everything stays on this machine.

    Raises:
        JobError: W&B is disabled.
    """
    mode = os.environ.get("WANDB_MODE", "")
    if mode == "disabled":
        raise JobError("WANDB_MODE = disabled: nothing would be published; unset it, or set it to offline")
    return mode in ("offline", "dryrun")


class WandbRun:
    """One publication. Contacts W&B only when something is logged."""

    def __init__(self, job: Job, directory: Path, ledger: Ledger, project: str, identity: str, say: Say) -> None:
        """Look up what has been published to W&B.

        Args:
            job: published as the config.
            directory: of the run; W&B keeps its own files there, in `wandb`.
            ledger: holds the id of the W&B run.
            project: TEAM/PROJECT.
            identity: of the run: a new run in the same directory becomes a new W&B run.
            say: gets messages about the progress.
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
        """Whether an end of the run has been published already. Deleted offline recordings do not count."""
        is_there = self._is_offline and bool(self._segments) if self._before.get("is_offline") else True
        return is_there and "fingerprint" in self._before

    @property
    def _segments(self) -> list[Path]:
        """The folders that W&B recorded offline, one per execution."""
        return list((self._directory / "wandb").glob(f"offline-run-*-{self._id}*"))

    def log(self, figures: dict[str, Any]) -> None:
        """Publish live figures.

        Raises:
            EndpointRefused: W&B refuses the key.
            JobError: the SDK is not installed.
            PublishError: W&B is away, or refuses the data.
        """
        with translated("wandb", self._project):
            self._run.log(figures)

    def has_published(self, fingerprint: str) -> bool:
        """Return whether W&B has the run in this state."""
        return self.is_known and self._before["fingerprint"] == fingerprint

    def finish(self, record: RunRecord, fingerprint: str) -> None:
        """Publish the end of the run, and report its URL.

        Raises:
            PublishError: W&B is away, or refuses the data.
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
        for path in files:  # an offline recording is sent later, so it needs a copy
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
            raise JobError(f"W&B's SDK is missing ({problem}); install it: pip install 'wandb>=0.31'") from problem

    @cached_property
    def _run(self) -> Any:
        """The SDK's run. Starts on first use."""
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
        """Whether W&B resumes an existing run. Parts that are sent later are added to it only with `must`."""
        if not self._is_offline:
            return "allow"
        has_more = self._segments or self._before.get("is_offline") is False
        return "must" if has_more else None

    def _where(self) -> str:
        if self._is_offline:  # the folder, not the last recording: W&B sends the parts of a run in order
            return f"kept on this machine; send it: wandb sync {shlex.quote(str(self._directory / 'wandb'))}"
        return str(self._run.url)
