"""The state of a run, seen from another process: read from its checkpoint and its run.json."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import WRITING
from batchrun.checkpoint.history import Ended, ExecutionTimes
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import RunDirectoryError
from batchrun.job.endpoint import BATCH
from batchrun.job.judging import JUDGE
from batchrun.prompts.count import output_rows, rows_left
from batchrun.records import EndpointFigures, Figures, ModelTotals, RowCount, WorkerFigures, summed
from batchrun.results.batches import batch_figures, held, open_batches
from batchrun.results.executions import pause_entries, pause_reason
from batchrun.results.meanings import meanings_of
from batchrun.results.prices import NOTHING_PAID, prices_in
from batchrun.results.recorded import Findings, Recorded, Status
from batchrun.results.run_directory import CHECKPOINT, RESULTS, SUMMARY, stored_job
from batchrun.results.stamp import is_stamped
from batchrun.results.summary import Summary, summarize
from batchrun.results.used import kept_aside, stated, used_in
from batchrun.results.writer import read_agreement, read_answers, read_scores
from batchrun.storage.processes import is_alive, this_machine
from batchrun.storage.runs import read_summary

T = TypeVar("T")

_GONE = "gone"
"""State of a run whose process wrote that it is running, and no longer exists."""


def summary_of(directory: Path, *, is_brief: bool = False, results: Path | None = None) -> Summary:
    """Return the counts that the checkpoint has now, and the status that the last execution wrote to run.json.

    Args:
        directory: of the run.
        is_brief: without the kinds of failures, scores and counts of answers: these may take a look at every row.
        results: have the scores and the counts of answers; results.parquet unless given.

    Raises:
        RunDirectoryError: there is no checkpoint, or it cannot be read.
    """
    status = _status(directory)
    is_running = status.state == "running"
    with Checkpoint(directory) as checkpoint:
        job, totals, parts = stored_job(checkpoint), checkpoint.totals(), checkpoint.parts()
        failures = [] if is_brief else checkpoint.failures()
        recorded = recorded_in(checkpoint, is_running=is_running)
        if (end := unnoted_end(directory, recorded.executions)) is not None:
            recorded = recorded._replace(executions=_with_end(recorded.executions, end))
        set_aside = kept_aside(checkpoint) if is_running else used_in(checkpoint, job, parts).set_aside
        simulated = checkpoint.fact(facts.SIMULATED) is True
        if not is_running:  # the next execution adds them to the fact
            recorded = recorded._replace(unrecorded=recorded.unrecorded + checkpoint.in_flight())
    results = results or directory / RESULTS
    findings = Findings(judge=None if job.judge.model is None else judge_entry(directory))
    if not is_brief:
        answers = _current_answers(results, totals)
        findings = Findings(failures, read_scores(results), answers, read_agreement(results), findings.judge)
    return summarize(
        job,
        directory,
        _corrected(directory, status, recorded, summed(totals.values()).requests),
        parts,
        findings=findings,
        simulated=simulated,
        recorded=recorded._replace(set_aside=set_aside),
    )


def judge_entry(directory: Path) -> dict[str, Any] | None:
    """Return what the judge of a run has done, as JSON can hold it; None where no judge was asked.

    Args:
        directory: of the run.
    """
    folder = directory / JUDGE
    if directory.name == JUDGE or not (folder / CHECKPOINT).exists():
        return None
    with suppress(RunDirectoryError):
        its = summary_of(folder, is_brief=True)
        names = ("state", "completed", "failed", "prompt_tokens", "completion_tokens", "cost_usd", "set_aside_usd")
        with Checkpoint(folder) as checkpoint:
            model = stored_job(checkpoint).models[0]
        earlier = [each["model"] for each in its.models if each["attempts"] and each["model"] != model]
        return {"model": model, "earlier": earlier, **{name: getattr(its, name) for name in names}}
    return None


def _current_answers(results: Path, totals: Mapping[str, ModelTotals]) -> list[dict[str, Any]]:
    """Return what the results showed of their answers; nothing if more rows were settled since they were written."""
    answers = read_answers(results)
    return answers if sum(each["completed"] for each in answers) == summed(totals.values()).completed else []


def recorded_in(checkpoint: Checkpoint, *, is_running: bool) -> Recorded:
    """Return what a checkpoint has noted about its run, without what is set aside.

    Args:
        checkpoint: open.
        is_running: whether a process works on the run.
    """
    batches = [row for row in checkpoint.batches() if is_running or row.step != WRITING]
    rows, is_exact = checkpoint.fact(facts.TOTAL), checkpoint.fact(facts.IS_TOTAL_EXACT) is True
    settled = summed(checkpoint.totals().values()).requests
    total = None if rows is None else output_rows(RowCount(rows, is_exact), per_row=1, settled=settled)
    return Recorded(
        executions=checkpoint.executions(is_running=is_running),
        total=total,
        unrecorded=checkpoint.fact(facts.UNRECORDED) or 0,
        copies=checkpoint.fact(facts.COPIES) or 0,
        rate_per_s=checkpoint.fact(facts.RATE) if is_running else None,
        probe_at_ms=checkpoint.fact(facts.PROBE_AT) if is_running else None,
        stopping=checkpoint.fact(facts.STOPPING) if is_running else None,
        drained_by_ms=checkpoint.fact(facts.DRAINED_BY) if is_running else None,
        unwanted=(checkpoint.fact(facts.UNWANTED) or 0) if is_running else 0,
        endpoints=_noted(EndpointFigures, checkpoint.fact(facts.ENDPOINTS_NOW)) if is_running else (),
        workers=_workers(checkpoint, is_running=is_running),
        batches=tuple(batch_figures(row, is_running=is_running) for row in batches),
        batches_held=held(batches),
        workers_lost=checkpoint.fact(facts.WORKERS_LOST) or 0,
        put_back=checkpoint.fact(facts.PUT_BACK) or 0,
        was_salvaged=checkpoint.fact(facts.SALVAGED) or False,
        limits=checkpoint.last_limits(),
        paid=checkpoint.fact(facts.PRICES) or NOTHING_PAID,
        meanings=meanings_of(checkpoint),
    )


def _workers(checkpoint: Checkpoint, *, is_running: bool) -> tuple[WorkerFigures, ...]:
    """Return the workers of the last execution that had any; if that has ended, what they did, on which node."""
    workers = _noted(WorkerFigures, checkpoint.fact(facts.WORKERS_NOW))
    return workers if is_running else tuple(each.at_end() for each in workers)


def _noted(kind: Callable[..., T], noted: list[Any] | None) -> tuple[T, ...]:
    """Return what a run has noted of its endpoints or workers; nothing where a newer version noted other things."""
    with suppress(TypeError):
        return tuple(kind(**each) for each in noted or ())
    return ()


def unnoted_end(directory: Path, executions: Sequence[ExecutionTimes]) -> Ended | None:
    """Return how the last execution ended, where only run.json has it; None in all other cases.

    A full disk may have no room for a commit, and yet take a new run.json in the place of the old.
    """
    stored = read_summary(directory)
    is_ended = stored.get("state", "running") != "running" and isinstance(stored.get("message"), str)
    is_of_last = is_ended and len(stored.get("executions") or ()) == len(executions)
    if not is_of_last or not executions or executions[-1].state != "died":
        return None
    at_ms = int(1000 * (directory / SUMMARY).stat().st_mtime)
    ended_by = "directory" if stored.get("exit_code") == RunDirectoryError.exit_code else str(stored["state"])
    return Ended(at_ms, str(stored["state"]), stored["message"], ended_by)


def _with_end(executions: Sequence[ExecutionTimes], end: Ended) -> list[ExecutionTimes]:
    *earlier, last = executions
    pauses, of_endpoints = (
        tuple(each._replace(ended_at_ms=each.ended_at_ms or end.at_ms) for each in some)
        for some in (last.pauses, last.endpoint_pauses)
    )
    ended = last._replace(ended_at_ms=end.at_ms, state=end.state, message=end.message, ended_by=end.ended_by)
    return [*earlier, ended._replace(pauses=pauses, endpoint_pauses=of_endpoints)]


def recorded_of(directory: Path, *, is_running: bool) -> Recorded:
    """Return what the checkpoint of a run has noted, without what is set aside; nothing if it cannot be read."""
    with suppress(RunDirectoryError), Checkpoint(directory) as checkpoint:
        return recorded_in(checkpoint, is_running=is_running)
    return Recorded()


def is_running(directory: Path) -> bool:
    """Return whether a living process works on the run."""
    return _status(directory).state == "running"


def figures_of(directory: Path) -> Figures:
    """Return the figures of a run, cheaply enough to be called every second.

    Raises:
        RunDirectoryError: there is no checkpoint, or it cannot be read.
    """
    has_process = is_running(directory)
    with Checkpoint(directory) as checkpoint:
        totals, limit, in_flight = checkpoint.totals(), checkpoint.limit(), checkpoint.in_flight()
        recorded = recorded_in(checkpoint, is_running=has_process)
        waiting = checkpoint.fact(facts.WAITING) or 0
        cost_usd, cap_usd = _cost_and_cap(checkpoint)
        batches = open_batches(recorded.batches) or (() if not in_flight and _is_by_batch(checkpoint) else None)
    pauses = recorded.executions[-1].open_pauses if has_process and recorded.executions else ()
    models = {model for model in totals if model}.union(each.model for each in pauses)
    sums, is_of_several = summed(totals.values()), len(models) > 1
    return Figures(
        done=sums.requests,
        total=recorded.total,
        failed=sums.failed,
        throttled=sums.throttled,
        tokens=sums.usage.total_tokens,
        in_flight=min(in_flight, limit) if has_process else in_flight,  # some are answered, and not recorded yet
        limit=limit,
        waiting=waiting if has_process else 0,
        pause=pause_reason(pause_entries(pauses), is_of_several=is_of_several) if pauses else None,
        paused_since_ms=min((each.started_at_ms for each in pauses), default=None),
        probe_at_ms=recorded.probe_at_ms if pauses else None,
        rate_per_s=recorded.rate_per_s,
        cost_usd=cost_usd,
        cap_usd=cap_usd,
        stopping=recorded.stopping,
        drained_by_ms=recorded.drained_by_ms,
        unwanted=recorded.unwanted,
        endpoints=recorded.endpoints,
        workers=tuple(each for each in recorded.workers if not each.has_ended),
        batches=batches,
    )


def _is_by_batch(checkpoint: Checkpoint) -> bool:
    """Return whether the job of a run is sent in batches, as far as it was recorded."""
    with suppress(RunDirectoryError):
        return stored_job(checkpoint).endpoint.via == BATCH
    return False


def _cost_and_cap(checkpoint: Checkpoint) -> tuple[float | None, float | None]:
    """Return what a run has cost, and its cap; nothing where it has none, or its job was not recorded."""
    with suppress(RunDirectoryError):
        job = stored_job(checkpoint)
        if job.limits.max_cost_usd is not None:
            return stated(prices_in(checkpoint, job), checkpoint.parts()).usd, job.limits.max_cost_usd
    return None, None


def _status(directory: Path) -> Status:
    """Return the status from run.json; without a living process, no run is running."""
    stored = read_summary(directory)
    status = Status(
        state=stored.get("state", "stopped"),
        exit_code=stored.get("exit_code"),
        message=stored.get("message", ""),
        duration_s=stored.get("duration_s"),
        pid=stored.get("pid"),
        newly_settled=stored.get("newly_settled"),
    )
    has_restarted = stored.get("boot", this_machine().boot) != this_machine().boot  # then the number is another's
    if status.state != "running" or (status.pid is not None and is_alive(status.pid) and not has_restarted):
        return status
    return replace(status, state=_GONE, pid=None)


def _corrected(directory: Path, status: Status, recorded: Recorded, settled: int) -> Status:
    """Return the status as the checkpoint has it, where run.json is older: after a kill, and after a salvage."""
    cure, left = "run the same command again to resume", rows_left(recorded.total, settled)
    if recorded.was_salvaged and status.state != "running" and left is not None and left.rows:
        message = f"the checkpoint was salvaged; {_left_text(left)}; {cure}"
        return replace(status, state="stopped", exit_code=None, message=message)
    if status.state != _GONE:
        return status
    last = recorded.executions[-1] if recorded.executions else None
    if last is not None and last.state == "completed":
        return replace(status, state="stopped", message=_unwritten(directory))
    rows = "" if left is None or not left.rows else f"; {_left_text(left)}"
    if last is None or last.state in ("died", "running"):
        return replace(status, state="stopped", message=f"the process has died{rows}; {cure}")
    why = last.message.removesuffix(cure).rstrip("; ")
    return replace(status, state=last.state, message=f"{why}{rows}; {cure}")


def _unwritten(directory: Path) -> str:
    why = "every row is settled, but the process ended before the results were written"
    return f"{why}; write them: batchrun export {directory}"


def _left_text(left: RowCount) -> str:
    about = "" if left.is_exact else "about "
    return f"{about}1 row is left" if left.rows == 1 else f"{about}{left.rows:,} rows are left"


def is_fresh(directory: Path) -> bool:
    """Return whether results.parquet has what is settled: it is newer than the checkpoint and its log, or stamped."""
    results = directory / RESULTS
    if not results.exists():
        return False
    sources = [directory / CHECKPOINT, directory / f"{CHECKPOINT}-wal"]
    changed = [path.stat().st_mtime_ns for path in sources if path.exists() and path.stat().st_size]
    if results.stat().st_mtime_ns >= max(changed, default=0):
        return True
    with suppress(RunDirectoryError), Checkpoint(directory) as checkpoint:
        return is_stamped(directory, checkpoint)
    return False
