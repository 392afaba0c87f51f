"""The requests of one row, rendered again from the input as `run` renders them: the checkpoint does not keep them."""

from pathlib import Path
from typing import NamedTuple

from batchrun.answers.chat import NOTHING
from batchrun.answers.envelope import read_reply, shown_of
from batchrun.answers.schema import INVALID
from batchrun.checkpoint.reader import Checkpoint
from batchrun.endpoint.pool.repair import Repair
from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.source import Entry, Source
from batchrun.records import BadRow, Outcome, Request
from batchrun.results.run_directory import input_source, stored_job


class Rendered(NamedTuple):
    """One request of a row as the input asks it now."""

    request: Request
    outcome: Outcome | None
    """How it ended; None while it is not settled."""
    repair: Request | None
    """The request that asks again for an answer that fits the schema, if the last answer does not fit it."""

    @property
    def is_same(self) -> bool:
        """Whether the outcome answers this very request; true while there is no outcome."""
        return self.outcome is None or self.outcome.key == self.request.key


def requests_of(directory: Path, row: int) -> list[Rendered]:
    """Return the requests of an input row, one per model and sample.

    Args:
        directory: of the run.
        row: number of the input row, from 0.

    Raises:
        InputError: the input cannot be read, has no such row now, or the row cannot become a request.
        JobError: a template does not fit the input any more.
        RunDirectoryError: the checkpoint cannot be read.
    """
    with Checkpoint(directory) as checkpoint:
        job = stored_job(checkpoint)
        outcomes = {(each.model, each.sample): each for some in checkpoint.outcomes(row=row) for each in some}
        with input_source(job, directory, checkpoint) as source:
            entries = _entries(source, row)
    if not entries:
        raise InputError(f"row {row}: the input has no such row; rows are numbered from 0")
    requests = [each for each in entries if isinstance(each, Request)]
    if not requests:
        [problem, *_] = [each.message for each in entries if isinstance(each, BadRow)]
        raise InputError(f"row {row}: cannot become a request: {problem}")
    return [_rendered(job, each, outcomes.get((each.model, each.sample))) for each in requests]


def _entries(source: Source, row: int) -> list[Entry]:
    source.open()
    found: list[Entry] = []
    for batch in source.batches(row):
        found += [entry for entry in batch if entry.row == row]
        if batch[-1].row > row:
            break
    return found


def _rendered(job: Job, request: Request, outcome: Outcome | None) -> Rendered:
    return Rendered(request, outcome, None if outcome is None else _repair(job, request, outcome))


def _repair(job: Job, request: Request, outcome: Outcome) -> Request | None:
    if job.response.schema is None or outcome.kind != INVALID or outcome.body is None:
        return None
    try:
        answer = read_reply(outcome.body)
    except ValueError:
        return None
    if shown_of(answer) is NOTHING:
        return None
    repair = Repair(job.response)
    complaint = repair.complaint(answer)
    return None if complaint is None else repair.asked_again(request, request.body, answer, complaint)
