"""Refuses to leave batches alone that are under way: their rows would be bought twice."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote_plus

from batchrun.checkpoint.batch_tables import CREATED, CREATING, UPLOADED, WRITTEN, BatchRow
from batchrun.endpoint.key import find_project
from batchrun.errors import JobError
from batchrun.job.endpoint import BATCH, Endpoint
from batchrun.job.sections import Job
from batchrun.report.texts import counted


def account_of(endpoint: Endpoint) -> str:
    """Return what tells apart who has a batch: the endpoint's identity, with the project that the environment names."""
    project = find_project(endpoint)
    return endpoint.identity if project == endpoint.project else f"{endpoint.identity}&project={project}"


def as_it_is_at(
    account: str, before: str | None, rows: Iterable[BatchRow], *, is_other_key: bool = False
) -> list[BatchRow]:
    """Return batches as they are at an account: a file that was uploaded elsewhere is uploaded again.

    Args:
        account: that is sent to now; see `account_of`.
        before: the account of these batches; None where that was not recorded.
        rows: none of which is under way elsewhere.
        is_other_key: whether another key has uploaded these files.
    """
    if before in (None, account) and not is_other_key:
        return list(rows)
    return [row._replace(step=WRITTEN, file=None) if row.step == UPLOADED else row for row in rows]


def refuse_to_leave(
    rows: Iterable[BatchRow], job: Job, *, account: str | None, was_simulated: bool | None, simulated: bool
) -> None:
    """Refuse to send rows in another way, or elsewhere, while a batch has them.

    An endpoint that did not create a batch says that there is none, and its rows would be bought twice.

    Args:
        rows: the batches of the run.
        job: to run.
        account: that has these batches, as `account_of` returns it; None where that was not recorded.
        was_simulated: whether the simulator has these batches; None where that was not recorded.
        simulated: whether it answers now.

    Raises:
        JobError: there are such batches.
    """
    text = under_way(rows)
    if not text:
        return
    if job.endpoint.via != BATCH:
        cure = "add --via batch to collect what they answer, or --via batch --cancel to end them first"
        raise JobError(f"{job.run_directory}: {text}; {cure}")
    if was_simulated is not None and was_simulated != simulated:
        kind = "which was the simulator" if was_simulated else "which the simulator is not"
        raise JobError(f"{job.run_directory}: {text}, {kind}; use another -o DIR")
    if account is not None and not simulated and account != account_of(job.endpoint):
        raise JobError(f"{job.run_directory}: {text} {_elsewhere(account, job.endpoint)}")


def _elsewhere(account: str, endpoint: Endpoint) -> str:
    """Return where batches are, and what collects or ends them."""
    url, _, stated = account.partition("#")
    apart = ", ".join(unquote_plus(stated).strip("&").split("&"))
    place = f"{url} ({apart})" if apart else url
    same = f"--base-url {url}" if url != endpoint.base_url else "the project and the key of before"
    return (
        f"{place}, and this command sends elsewhere; run it with {same} to collect what they answer, "
        "with --cancel too to end them first"
    )


def refuse_to_start_over(rows: Iterable[BatchRow], directory: Path) -> None:
    """Refuse to start a run over while its batches are under way: nobody would collect them.

    Raises:
        JobError: there are such batches.
    """
    if text := under_way(rows):
        raise JobError(f"{directory}: {text}; add --cancel instead of --restart to end them first")


def under_way(rows: Iterable[BatchRow]) -> str:
    """Return what is under way at the provider; empty where nothing is."""
    left = [row for row in rows if row.step in (CREATING, CREATED)]
    if not left:
        return ""
    are = "is" if len(left) == 1 else "are"
    requests = counted(sum(row.requests for row in left), "request")
    return f"{counted(len(left), 'batch', 'batches')} with {requests} {are} under way at the provider"
