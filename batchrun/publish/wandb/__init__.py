"""Publishes a run to W&B: live metrics while it runs, the job as config, totals, and the results as an artifact.

All figures are read from the run directory, in a separate process, so the run itself is not involved.
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

_POLL_EVERY_S = 2.0
"""How often the figures of a running job are read."""


def publish(record: RunRecord, ledger: Ledger, project: str, say: Say) -> None:
    """Publish the state and the results of a run, once for each state.

    Args:
        record: the run.
        ledger: what has been published already.
        project: TEAM/PROJECT.
        say: gets messages about the progress.

    Raises:
        EndpointRefused: W&B refuses the key.
        JobError: the SDK is not installed.
        PublishError: W&B is away, or refuses the data.
    """
    _publish_state(WandbRun(record.job, record.directory, ledger, project, record.identity, say), record, project, say)


def follow(directory: Path, ledger: Ledger, project: str, has_ended: Callable[[float], bool], say: Say) -> None:
    """Publish a run while it runs, and then its end. A run without anything new is not published again.

    Args:
        directory: of the run; its checkpoint already holds the job.
        ledger: what has been published already.
        project: TEAM/PROJECT.
        has_ended: waits that many seconds for the end of the run, and returns whether it came.
        say: gets the URL of the W&B run.

    Raises:
        EndpointRefused: W&B refuses the key.
        JobError: the SDK is not installed.
        PublishError: W&B is away, or refuses the data.
        RunDirectoryError: the run cannot be read.
    """
    with Checkpoint(directory) as checkpoint:
        job, identity = stored_job(checkpoint), checkpoint.fact(facts.IDENTITY) or ""
    run = WandbRun(job, directory, ledger, project, identity, say)
    read_s, figures = time.monotonic(), live_figures(directory)
    if not run.is_known:
        run.log(figures)
    while not has_ended(_POLL_EVERY_S):
        (before_s, before), read_s, figures = (read_s, figures), time.monotonic(), live_figures(directory)
        if run.has_begun or figures != before:
            run.log(figures | {"rows_per_s": max(0, figures["rows"] - before["rows"]) / (read_s - before_s)})
    if not is_fresh(directory):  # the run died before it wrote its results
        export(directory)
    with RunRecord(directory) as record:
        _publish_state(run, record, project, say)


def _publish_state(run: WandbRun, record: RunRecord, project: str, say: Say) -> None:
    """Publish the state of a run."""
    fingerprint = record.fingerprint()
    if run.has_published(fingerprint) and not run.has_begun:
        say(f"wandb: {project}: already published")
        return
    is_over = record.summary.state != "running"
    run.log(live_figures(record.directory) | ({"in_flight": 0, "rows_per_s": 0} if is_over else {}))
    run.finish(record, fingerprint)
