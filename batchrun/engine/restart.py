"""Starts a run over: its checkpoint is kept under another name, and what it has used counts for no cap any more.

Nothing else starts a run over: where its checkpoint is lost, it is refused, or all its answers would be bought again.
"""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from batchrun.checkpoint.predecessor import SetAside, set_aside
from batchrun.checkpoint.reader import Checkpoint
from batchrun.endpoint.pool.budget import NOTHING_USED, Used
from batchrun.engine.batches.open import refuse_to_start_over
from batchrun.engine.options import Agree
from batchrun.errors import JobError, RunDirectoryError
from batchrun.job.catalogue import cost_text, used_text
from batchrun.job.judging import JUDGE
from batchrun.job.sections import Job
from batchrun.report.texts import counted
from batchrun.results.run_directory import CHECKPOINT, SUMMARY
from batchrun.results.used import used_elsewhere, used_in
from batchrun.storage.lost import lost_batches, settled_rows
from batchrun.storage.runs import BATCHES_FOLDER


class Restart(NamedTuple):
    """A run that starts over."""

    replaced: SetAside
    judged: SetAside | None
    """The same of its judge."""
    note: str
    """What the user should know of it, once nothing refuses the run."""

    def put_back(self) -> None:
        """Take it back: the run was refused.

        Raises:
            RunDirectoryError: the directory cannot be written.
        """
        for each in filter(None, (self.replaced, self.judged)):
            each.put_back()


def restart(job: Job, agree: Agree) -> Restart | None:
    """Rename the checkpoint in the job's run directory; None when there is none.

    Args:
        job: that starts over.
        agree: is asked whether to buy again what lost batches answer.

    Raises:
        RunDirectoryError: the directory cannot be written.
        JobError: it has batches that are under way at the provider, or had some, and the user does not agree.
    """
    used = _used(job, agree)
    replaced = set_aside(job.run_directory)
    judged = set_aside(job.run_directory / JUDGE)
    if replaced is None:
        return None
    kept = f"note: the run starts over; its old checkpoint is kept as {' and '.join(replaced.names)}"
    spent = _uncounted(job, used)
    return Restart(
        replaced, judged, f"{kept}, and what that has used ({spent}) does not count for the cap" if spent else kept
    )


def refuse_lost(directory: Path, agree: Agree) -> None:
    """Refuse a run directory whose checkpoint is gone or empty although its run has settled rows, or batches.

    Args:
        directory: of the run.
        agree: is asked whether to buy again what lost batches answer.

    Raises:
        RunDirectoryError: run.json has these rows.
        JobError: run.json has these batches, their files are gone too, and the user does not agree.
    """
    path = directory / CHECKPOINT
    if path.exists() and path.stat().st_size:
        return
    if settled := settled_rows(directory):
        what = (
            f"is {'empty' if path.exists() else 'gone'}, and with it the answers of {counted(settled, 'settled row')}"
        )
        cure = "Put it back from a copy, send all rows again with --restart, or use another -o DIR"
        raise RunDirectoryError(f"{path}: {what} that {SUMMARY} counts; nothing was changed. {cure}")
    _agree_on_lost_batches(directory, agree)


def _agree_on_lost_batches(directory: Path, agree: Agree) -> None:
    lost = lost_batches(directory)
    if not lost.batches:
        return
    text = f"{directory}: {SUMMARY} lists {lost}, and neither {BATCHES_FOLDER}/ nor a sound {CHECKPOINT} is left: the "
    text += "answers are billed, cannot be collected, and would be bought again"
    if not agree(text):
        cure = (
            f"put {CHECKPOINT} or {BATCHES_FOLDER}/ back from a copy, or cancel what is under way at the provider, and"
        )
        raise JobError(f"{text}; {cure} add --yes to send the rows again")


def _used(job: Job, agree: Agree) -> Used:
    directory: Path = job.run_directory
    with suppress(RunDirectoryError), Checkpoint(directory) as checkpoint:
        refuse_to_start_over(checkpoint.batches(), directory)
        return used_in(checkpoint, job, checkpoint.parts()).plus(used_elsewhere(job))
    _agree_on_lost_batches(directory, agree)  # there is no run, or it is damaged and starts over for that reason
    return NOTHING_USED


def _uncounted(job: Job, used: Used) -> str:
    """Return what no cap counts any more; empty without a cap, or when nothing was used."""
    parts = []
    if job.limits.max_cost_usd is not None and used.total.usd:
        parts.append(cost_text(used.spent.usd, used.set_aside.usd))
    if job.limits.max_tokens_total is not None and used.total.tokens:
        spent, set_aside = used.spent.tokens, used.set_aside.tokens
        parts.append(used_text(spent, set_aside, lambda tokens: counted(round(tokens), "token")))
    return "; ".join(parts)
