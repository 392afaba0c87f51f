"""Refuses to leave batches alone that are under way: their rows would be bought twice."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote_plus

from batchrun.checkpoint.batch_tables import CREATED, CREATING, UPLOADED, WRITTEN, BatchRow
from batchrun.endpoint.key import find_project
from batchrun.engine.batches.files import FOLDER
from batchrun.errors import JobError
from batchrun.job.endpoint import BATCH, Endpoint
from batchrun.job.sections import Job
from batchrun.report.texts import counted

_FLAGS = {"project": "--project", "api_key_env": "--api-key-env"}

_OTHER_PLACES = {
    "project": "project of a job file, WANDB_ENTITY and WANDB_PROJECT",
    "api_key_env": "api_key_env of a job file",
}
"""Where it is stated too."""


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
    if (before is None or _parts(before) == _parts(account)) and not is_other_key:
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
        cure = "add --via batch to collect the answers, or --via batch --cancel to cancel what is under way first"
        raise JobError(f"{job.run_directory}: {text}; {cure}")
    if was_simulated is not None and was_simulated != simulated:
        kind = "which was the simulator" if was_simulated else "which the simulator is not"
        raise JobError(f"{job.run_directory}: {text}, {kind}; use another -o DIR")
    if account is not None and not simulated and _parts(account) != _parts(account_of(job.endpoint)):
        raise JobError(f"{job.run_directory}: {text} {_elsewhere(account, job.endpoint)}")


def _elsewhere(account: str, endpoint: Endpoint) -> str:
    """Return where batches are, and what collects or ends them."""
    url, _, stated = account.partition("#")
    apart = ", ".join(unquote_plus(stated).strip("&").split("&"))
    place = f"{url} ({apart})" if apart else url
    as_before = _as_before(account, account_of(endpoint))
    return (
        f"{place}, and this command sends elsewhere; run it {as_before} to collect the answers, "
        "with --cancel too to cancel what is under way first"
    )


def _parts(account: str) -> tuple[str, dict[str, str]]:
    """Return base URL of an account, and what else tells it apart, in whichever order that was noted."""
    url, _, stated = account.partition("#")
    return url, dict(parse_qsl(stated))


def _as_before(before: str, now: str) -> str:
    """Return how to run a command so that it sends to the account of before: only what differs."""
    (url, stated), (url_now, stated_now) = _parts(before), _parts(now)
    given = [f"--base-url {url}"] if url != url_now else []
    left_out = []
    for name in dict.fromkeys([*stated, *stated_now]):
        if (value := stated.get(name)) == stated_now.get(name):
            continue
        flag = _FLAGS.get(name)
        if value is not None:
            given.append(f"{flag} {value}" if flag else f"{name} = {value} in [endpoint]")
        else:
            left_out.append(f"{flag} ({_OTHER_PLACES[name]})" if flag else f"{name} in [endpoint]")
    return " and ".join(
        f"{word} {' and '.join(some)}" for word, some in (("with", given), ("without", left_out)) if some
    )


def refuse_to_start_over(rows: Iterable[BatchRow], directory: Path) -> None:
    """Refuse to start a run over while its batches are under way: nobody would collect them.

    Raises:
        JobError: there are such batches.
    """
    if text := under_way(rows):
        raise JobError(
            f"{directory}: {text}; use --via batch --cancel instead of --restart to cancel what is under way first"
        )


def found_again(rows: Sequence[BatchRow]) -> str:
    """Return which batches were found again by their files."""
    requests = counted(sum(row.requests for row in rows), "request")
    return f"{counted(len(rows), 'batch', 'batches')} with {requests} found again by the files in {FOLDER}/"


def under_way(rows: Iterable[BatchRow]) -> str:
    """Return what is under way at the provider; empty where nothing is."""
    left = [row for row in rows if row.step in (CREATING, CREATED)]
    if not left:
        return ""
    are = "is" if len(left) == 1 else "are"
    requests = counted(sum(row.requests for row in left), "request")
    return f"{counted(len(left), 'batch', 'batches')} with {requests} {are} under way at the provider"
