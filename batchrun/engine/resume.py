"""Fits the checkpoint to the job before a run: which answers still hold, which rows are sent again."""

from collections.abc import Callable, Mapping
from pathlib import Path

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import has_lines
from batchrun.checkpoint.changes import Change, adapt, forget_failed, has_retired
from batchrun.checkpoint.facts import Known
from batchrun.checkpoint.places import are_misplaced
from batchrun.checkpoint.store import Store
from batchrun.endpoint.advice import place_of
from batchrun.errors import JobError
from batchrun.job.judging import is_judge
from batchrun.job.sections import Job
from batchrun.prompts.source import Source
from batchrun.records import ENDED, ModelTotals, summed
from batchrun.report.texts import counted
from batchrun.results.endpoints import answering_endpoints, base_urls, is_among, is_known_endpoint
from batchrun.results.identity import (
    changed_text,
    has_changed,
    note_requests,
    note_start,
    origin_of,
    rows_of,
)

CONFIRM_SHARE = 0.1
"""When an edit replaces more than this share of what is settled, the user has to agree."""

_REPLACE_CURE = "add --yes to buy these answers, or use another -o DIR"
_BATCH_CURE = (
    "undo the edit, and run again to collect them, or with --cancel to end them; or add --yes to go on with the edit"
)
_JUDGE_CURE = "add --yes to buy these judgments; the answers stay"
_MISPLACED = "the number of an answer changed on the disk"
ENDPOINT_CURE = "add --yes to keep these answers, or use another -o DIR"


def refuse_other_kind(
    recorded: Known, directory: Path, totals: Mapping[str, ModelTotals], unrecorded: int, *, simulated: bool
) -> None:
    """Refuse to mix simulated and real answers.

    A directory where nothing was sent yet is of neither kind, whatever an execution that was refused has recorded.

    Args:
        recorded: facts of the run directory.
        directory: of the run.
        totals: of its checkpoint.
        unrecorded: rows that were sent and not recorded, over all executions.
        simulated: whether the simulator answers from now on.

    Raises:
        JobError: the directory holds answers or requests of the other kind.
    """
    sums = summed(totals.values())
    if recorded.fact(facts.SIMULATED) in (None, simulated) or not (sums.attempts or sums.completed or unrecorded):
        return
    kind = "real" if simulated else "simulated"
    what = "rows that were sent and not answered" if sums.attempts else "rows that were sent and not recorded"
    cure = "simulated and real answers do not mix; use another -o DIR, or --restart"
    raise JobError(f"{directory}: holds {kind} {'answers' if sums.completed else what}; {cure}")


def endpoint_question(recorded: Known, job: Job, totals: Mapping[str, ModelTotals]) -> str | None:
    """Return what the user is asked before answers of another endpoint are kept; None when there are none.

    Args:
        recorded: facts of the run directory.
        job: to run, at its endpoint.
        totals: of the checkpoint.
    """
    completed = summed(totals.values()).completed
    if not completed or is_known_endpoint(recorded, job):
        return None
    earlier = " and ".join(answering_endpoints(recorded))
    mixed = f"{job.run_directory}: {counted(completed, 'answer')} of this run came from {earlier}"
    are = "endpoints of the job are" if len(job.endpoints) > 1 else "endpoint of the job is"
    return f"{mixed}; the {are} {_urls(job)} now"


def agree_on_endpoint(store: Store, job: Job, agree: Callable[[str], bool]) -> None:
    """Ask before answers of another endpoint are kept in the results.

    Raises:
        JobError: the user did not agree.
    """
    question = endpoint_question(store, job, store.totals)
    if question is not None and not agree(question):
        raise JobError(f"{question}; {ENDPOINT_CURE}")


def fit(
    store: Store,
    job: Job,
    source: Source,
    *,
    agree: Callable[[str], bool],
    say: Callable[[str], None],
) -> bool:
    """Make the outcomes in the checkpoint those of this job and this input.

    The whole input is read first, but only when the job or the input has changed since the last execution, or an
    answer stands where the run has no request.

    Args:
        store: open, not started.
        job: to run.
        source: its input, open.
        agree: asked before many answers are replaced.
        say: prints a line.

    Returns:
        Whether settled rows are known to fit the input, so that they need not be read.

    Raises:
        JobError: many answers would be replaced, and the user did not agree.
    """
    origin = origin_of(job, source.files)
    if (rows := rows_of(store, job, source.files)) is not None:
        source.expect(rows)
    is_other_stdin = source.is_other_stdin and bool(store.totals)
    is_edited = may_not_fit(store, origin, has_outcomes=_has_answers(store), has_retired=lambda: has_retired(store))
    if is_other_stdin or is_edited or _are_misplaced(store, job, None if "rows" in origin else rows):
        is_known = is_other_stdin or is_edited
        changed = changed_text(store, job, origin, is_other_stdin=is_other_stdin) if is_known else _MISPLACED
        say(f"{changed}: reading the whole input to see which answers still fit")
        adapt(
            store,
            source.batches(),
            lambda change: _is_agreed(job, change, changed, agree, say),
            shares_answers=job.input.dedupe,
        )
        source.keep_input()  # first: until the origin is noted, the next run looks at all outcomes again
        note_requests(store, job, origin, store.parts)  # also if the run is refused later: outcomes have changed
    if store.unrecorded:
        say(f"when the last execution ended, {_sent_text(store)}; sending again")
    store.expect(job.per_row)
    return bool(origin["input"])


def _are_misplaced(store: Store, job: Job, rows: int | None) -> bool:
    with store.using() as connection:
        return are_misplaced(connection, store.path, job.model.num_samples, rows)


def _sent_text(store: Store) -> str:
    """Return how many rows were sent. Of those that workers of a cluster had, only the workers knew which were."""
    had_workers = any(each.get("state") != ENDED for each in store.fact(facts.WORKERS_NOW) or ())
    up_to = "up to " if had_workers else ""
    return f"{up_to}{counted(store.unrecorded, 'row')} had been sent and not recorded"


def retry(store: Store, job: Job, say: Callable[[str], None]) -> None:
    """Have failed rows sent again. Call it when nothing can refuse the run: they leave the results."""
    if count := forget_failed(store, shares_answers=job.input.dedupe):
        say(f"sending again: {counted(count, 'failed row')}")
    store.expect(job.per_row)


def begin(store: Store, job: Job, source: Source, *, simulated: bool, say: Callable[[str], None]) -> None:
    """Record what this execution runs, now that nothing can refuse it any more.

    Args:
        store: open, and fitted to the job.
        job: to run.
        source: its input, open.
        simulated: whether the simulator answers.
        say: prints a line.
    """
    if not simulated:
        for note in filter(None, [_origin_note(job), _endpoint_note(store, job)]):
            say(note)
    source.keep_input()
    names = note_start(store, job, is_simulated=simulated, has_answers=_was_sent(store))
    note_requests(store, job, origin_of(job, source.files), store.parts)
    store.store_endpoints_as(names)


def _urls(job: Job) -> str:
    return " and ".join(base_urls(job))


def _origin_note(job: Job) -> str | None:
    """Return a note when the base URL is from the environment, and not from the job."""
    if job.has_several_endpoints:
        return None
    place = place_of(job.endpoint)
    return None if place == job.endpoint.base_url else f"note: the endpoint is {place}"


def _endpoint_note(store: Store, job: Job) -> str | None:
    """Return a note when the rows so far were answered by another endpoint than the job's."""
    settled = summed(store.totals.values()).requests
    earlier = answering_endpoints(store)
    if not settled or not earlier or is_among(earlier[-1], base_urls(job)):
        return None
    answered = f"the settled rows ({settled:,}) were answered by {' and '.join(earlier)}"
    return f"note: {answered} and stay as they are; the rest is sent to {_urls(job)}"


def _was_sent(store: Store) -> bool:
    """Return whether any execution has sent a request."""
    return any(sums.attempts for sums in store.totals.values()) or store.unrecorded_ever > 0


def may_not_fit(recorded: Known, origin: facts.Origin, *, has_outcomes: bool, has_retired: Callable[[], bool]) -> bool:
    """Return whether outcomes may answer other requests than those of this job and input.

    Args:
        recorded: facts of the run directory.
        origin: of the job and its input now.
        has_outcomes: whether the checkpoint has any.
        has_retired: asked whether it has answers whose requests were not in the job any more.
    """
    if recorded.fact(facts.MISMATCH) is not None:  # a row was not the one that its outcome answers: look at all of them
        return True
    before = recorded.fact(facts.ORIGIN)
    if before is None:
        return has_outcomes  # salvaged: what the requests were made from is lost
    return has_changed(before, origin) or (before != origin and has_retired())


def _has_answers(store: Store) -> bool:
    """Return whether there are answers, or a batch may bring some."""
    if store.totals:
        return True
    with store.using() as connection:
        return has_lines(connection)


def _is_agreed(
    job: Job, change: Change, changed: str, agree: Callable[[str], bool], say: Callable[[str], None]
) -> bool:
    say(change_text(change, changed))
    question = replace_question(change, changed, job)
    if question is None or agree(question):
        return True
    raise JobError(f"{question}; {replace_cure(job, change)}")


def change_text(change: Change, changed: str) -> str:
    """Return what an edit does to the rows, for people.

    Args:
        change: what it does.
        changed: what was edited, as `changed_text` says it.
    """
    kept, under_way = counted(change.kept, "row"), change.still_asked
    in_batches = f"{under_way:,} in batches, " if under_way else ""
    kept = f"{kept} kept, {in_batches}{change.new - under_way:,} to send, {change.gone:,} leaving the results"
    return f"{changed}: {'; '.join(filter(None, [kept, _dropped_text(change)]))}"


def _dropped_text(change: Change) -> str:
    """Return what becomes of batches, some of whose requests leave the job; empty where none does."""
    if not change.dropped:
        return ""
    are, they = ("is", "its answer is") if change.dropped == 1 else ("are", "their answers are")
    in_them = f"{change.dropped:,} of {counted(change.in_batches, 'request')} in batches {are} not in the job any more"
    return f"{in_them}: {they} paid for, and not used unless it asks for them again"


def replace_cure(job: Job, change: Change) -> str:
    """Return what ends the message that answers, or judgments of them, would be replaced or not used."""
    if _drops_many(change):
        return _BATCH_CURE
    return _JUDGE_CURE if is_judge(job) else _REPLACE_CURE


def _drops_many(change: Change) -> bool:
    return change.dropped > CONFIRM_SHARE * change.in_batches


def replace_question(change: Change, changed: str, job: Job) -> str | None:
    """Return what the user is asked before answers are replaced, or not used; None when that are too few to ask.

    Args:
        change: what the edit does.
        changed: what was edited, as `changed_text` says it.
        job: whose answers these are.
    """
    dropped = f"{_dropped_text(change)}; " if _drops_many(change) else ""
    gone = ""
    if change.replaced > CONFIRM_SHARE * change.settled:
        what = "settled judgment" if is_judge(job) else "settled row"
        gone = f"{change.gone:,} of {counted(change.settled, what)} would leave the results and "
    if not (dropped or gone):
        return None
    sent = counted(change.new - change.still_asked, "request")
    return f"{dropped}{gone}{sent} would be sent, because {changed}"
