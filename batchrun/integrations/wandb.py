"""Shows a run in W&B: how it goes while it goes on, the job as its config, totals, and the results as an artifact.

All figures are read from the run directory, by a process of their own: the run knows nothing of who looks at it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import BatchrunError, JobError, PublishError
from batchrun.integrations.ledger import Ledger
from batchrun.integrations.record import RunRecord
from batchrun.job import Job, job_to_dict
from batchrun.report.stats import summed
from batchrun.reporting import write_report
from batchrun.results.usage import usage_rows
from batchrun.standing import figures_of
from batchrun.stored import stored_job
from batchrun.summary import RESULTS, Summary, prices_of

_INIT_S = 30.0
_UPLOAD_S = 540
"""How long W&B may take to begin, and to get the artifact."""

_OFFLINE = ("offline", "dryrun", "disabled")

_SETTINGS: Mapping[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "finish_timeout": float(_UPLOAD_S),
    "init_timeout": _INIT_S,
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,  # whose machine it ran on is nobody's business, nor what is on it
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}

_TOTALS = (
    "state",
    "rows",
    "completed",
    "failed",
    "attempts",
    "throttled",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cost_usd",
    "duration_s",
    "simulated",
)

Say = Callable[[str], None]


class WandbRun:
    """The W&B run that stands for a run of ours: the same one each time that it goes on."""

    def __init__(self, job: Job, directory: Path, ledger: Ledger, project: str, identity: str) -> None:
        """Begin, or go on with, the W&B run.

        Args:
            job: its config. It holds no key.
            directory: of the run; W&B keeps its own files there, in `wandb`.
            ledger: remembers which W&B run it is.
            project: TEAM/PROJECT.
            identity: of our run: another one in the same directory is another W&B run too.

        Raises:
            JobError: the SDK is not installed.
            PublishError: W&B is away, or refuses it.
        """
        self._directory, self._ledger, self._project = directory, ledger, project
        try:
            self._wandb = import_module("wandb")
        except ImportError as problem:
            raise JobError(f"W&B's SDK is missing ({problem}); pip install 'batchrun-llm[wandb]'") from problem
        self._note = f"wandb {project} {identity}"
        run_id = (ledger.fact(self._note) or {}).get("id") or uuid4().hex[:12]
        team, name = project.split("/")
        with _translated(project):
            settings = self._wandb.Settings(**_SETTINGS, root_dir=str(directory))
            is_offline = self._wandb.setup(settings).settings.mode in _OFFLINE
            self._run = self._wandb.init(
                entity=team,
                project=name,
                id=run_id,
                name=directory.resolve().name,
                resume=None if is_offline else "allow",  # offline there is nothing to resume
                dir=str(directory),
                job_type="batchrun",
                config=_config(job),
                settings=settings,
            )
        self._ledger.note(self._note, {"id": run_id})
        self._id = run_id

    def log(self, figures: dict[str, Any]) -> None:
        """Show how the run stands."""
        with _translated(self._project):
            self._run.log(figures)

    def finish(self, record: RunRecord, fingerprint: str) -> str:
        """Show how the run ended; return where that can be seen.

        Raises:
            PublishError: W&B is away, or refuses it.
            RunDirectoryError: the report cannot be written.
        """
        report = write_report(record.directory).path
        with _translated(self._project):
            self._run.summary.update(_totals(record.summary))
            artifact = self._wandb.Artifact(_artifact_name(record.name), type="results")
            policy = "mutable" if self._run.offline else "immutable"  # sent later, it must be a copy
            for path in (record.directory / RESULTS, report):
                artifact.add_file(str(path), name=path.name, policy=policy)
            logged = self._run.log_artifact(artifact)
            if not self._run.offline:
                logged.wait(timeout=_UPLOAD_S)
            where = self._where()
            self._run.finish(exit_code=0)
        self._ledger.note(self._note, {"id": self._id, "fingerprint": fingerprint})
        return where

    def abandon(self) -> None:
        """End without a word of how the run ended."""
        with _translated(self._project):
            self._run.finish(exit_code=1)

    def _where(self) -> str:
        if self._run.offline:
            return f"kept on this machine; send it by: wandb sync {Path(self._run.settings.sync_dir)}"
        return str(self._run.url)


def publish(record: RunRecord, ledger: Ledger, project: str, say: Say) -> None:
    """Show how a run stands, and its results, once for each of its states.

    Raises:
        JobError: the SDK is not installed.
        PublishError: W&B is away, or refuses it.
    """
    fingerprint = record.fingerprint()
    before = ledger.fact(f"wandb {project} {record.identity}") or {}
    if before.get("fingerprint") == fingerprint:
        say(f"wandb: {project}: was there before")
        return
    run = WandbRun(record.job, record.directory, ledger, project, record.identity)
    run.log(live_figures(record.directory))
    say(f"wandb: {project}: {run.finish(record, fingerprint)}")


def follow(directory: Path, ledger: Ledger, project: str, has_ended: Callable[[float], bool], say: Say) -> None:
    """Show a run while it goes on, and how it ended.

    Args:
        directory: of the run, whose checkpoint says already which job it is of.
        ledger: which W&B run it is.
        project: TEAM/PROJECT.
        has_ended: waits so many seconds for the run's end, and says whether it has come.
        say: told where it can be seen.

    Raises:
        JobError: the SDK is not installed.
        PublishError: W&B is away, or refuses it.
        RunDirectoryError: the run cannot be read.
    """
    with Checkpoint(directory) as checkpoint:
        job, identity = stored_job(checkpoint), checkpoint.fact("identity") or ""
    run = WandbRun(job, directory, ledger, project, identity)
    figures = live_figures(directory)
    while not has_ended(_LOOK_EVERY_S):
        before, figures = figures, live_figures(directory)
        run.log(figures | {"rows_per_s": max(0, figures["rows"] - before["rows"]) / _LOOK_EVERY_S})
    run.log(live_figures(directory) | {"in_flight": 0})
    with RunRecord(directory) as record:
        say(f"wandb: {project}: {run.finish(record, record.fingerprint())}")


_LOOK_EVERY_S = 2.0
"""How often a run that goes on is looked at."""


def live_figures(directory: Path) -> dict[str, Any]:
    """Return how a run stands, as plain numbers."""
    figures = figures_of(directory)
    with Checkpoint(directory) as checkpoint:
        job, totals = stored_job(checkpoint), checkpoint.totals()
    costs = [row["cost_usd"] for row in usage_rows(totals, prices_of(job, totals)) if row["attempts"]]
    known: dict[str, Any] = {
        "rows": figures.done,
        "rows_total": figures.total,
        "failed": figures.failed,
        "throttled": figures.throttled,
        "tokens": figures.tokens,
        "prompt_tokens": summed(totals.values()).prompt_tokens,
        "completion_tokens": summed(totals.values()).completion_tokens,
        "in_flight": figures.in_flight,
        "limit": figures.limit,
        "cost_usd": None if None in costs else sum(costs),
    }
    return {name: value for name, value in known.items() if value is not None}


def _totals(summary: Summary) -> dict[str, Any]:
    totals = {name: getattr(summary, name) for name in _TOTALS}
    totals |= {f"score/{each['model']}": each["mean"] for each in summary.scores}
    return {name: value for name, value in totals.items() if value is not None}


def _config(job: Job) -> dict[str, Any]:
    said = {name: value for name, value in job_to_dict(job).items() if name != "publish"}
    return {
        name: {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value
        for name, value in said.items()
    }


def _artifact_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", f"{name}-results")[:128]


@contextmanager
def _translated(project: str) -> Iterator[None]:
    try:
        yield
    except BatchrunError:
        raise
    except Exception as problem:  # what the SDK raises is of a dozen kinds, and costs the publishing only
        said = " ".join(str(problem).split())[:500].rstrip(". ") or type(problem).__name__
        raise PublishError(f"wandb: {project}: {said}; the run is as it was; publish it again") from problem
