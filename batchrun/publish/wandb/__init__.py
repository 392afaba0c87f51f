"""Shows a run in W&B: how it goes while it goes on, the job as its config, totals, and the results as an artifact.

All figures are read from the run directory, by a process of their own: the run knows nothing of who looks at it.
"""

import time
from collections.abc import Callable
from pathlib import Path

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.publish.ledger import Ledger
from batchrun.publish.record import RunRecord
from batchrun.publish.wandb.figures import live_figures
from batchrun.publish.wandb.run import Say, WandbRun, is_offline
from batchrun.results.export import export
from batchrun.results.run_directory import stored_job
from batchrun.results.state import is_fresh

__all__ = ["follow", "is_offline", "publish"]

_LOOK_EVERY_S = 2.0
"""How often a run that goes on is looked at."""


def publish(record: RunRecord, ledger: Ledger, project: str, say: Say) -> None:
    """Show how a run stands, and its results, once for each of its states.

    Args:
        record: the run.
        ledger: what of it has been published.
        project: TEAM/PROJECT.
        say: told what was done.

    Raises:
        EndpointRefused: the key is not taken.
        JobError: the SDK is not installed.
        PublishError: W&B is away, or refuses it.
    """
    _show(WandbRun(record.job, record.directory, ledger, project, record.identity, say), record, project, say)


def follow(directory: Path, ledger: Ledger, project: str, has_ended: Callable[[float], bool], say: Say) -> None:
    """Show a run while it goes on, and how it ended. Where nothing new comes of it, nothing is shown again.

    Args:
        directory: of the run, whose checkpoint says already which job it is of.
        ledger: what of it has been published.
        project: TEAM/PROJECT.
        has_ended: waits so many seconds for the run's end, and says whether it has come.
        say: told where it can be seen.

    Raises:
        EndpointRefused: the key is not taken.
        JobError: the SDK is not installed.
        PublishError: W&B is away, or refuses it.
        RunDirectoryError: the run cannot be read.
    """
    with Checkpoint(directory) as checkpoint:
        job, identity = stored_job(checkpoint), checkpoint.fact(facts.IDENTITY) or ""
    run = WandbRun(job, directory, ledger, project, identity, say)
    looked_s, figures = time.monotonic(), live_figures(directory)
    if not run.is_known:
        run.log(figures)
    while not has_ended(_LOOK_EVERY_S):
        (before_s, before), looked_s, figures = (looked_s, figures), time.monotonic(), live_figures(directory)
        if run.has_begun or figures != before:
            run.log(figures | {"rows_per_s": max(0, figures["rows"] - before["rows"]) / (looked_s - before_s)})
    if not is_fresh(directory):  # the run has died before it could write its results
        export(directory)
    with RunRecord(directory) as record:
        _show(run, record, project, say)


def _show(run: WandbRun, record: RunRecord, project: str, say: Say) -> None:
    """Show how a run stands now."""
    fingerprint = record.fingerprint()
    if run.has_shown(fingerprint) and not run.has_begun:
        say(f"wandb: {project}: was there before")
        return
    is_over = record.summary.state != "running"
    run.log(live_figures(record.directory) | ({"in_flight": 0, "rows_per_s": 0} if is_over else {}))
    run.finish(record, fingerprint)
