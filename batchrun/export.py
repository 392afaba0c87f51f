"""From a checkpoint to everything that can be made of it: results, totals, and what scripts read of a run."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from batchrun import __version__
from batchrun.checkpoint.reader import Checkpoint, Failures
from batchrun.checkpoint.schema import damaged
from batchrun.errors import InputError, JobError, RunDirectoryError
from batchrun.job import Job, job_from_dict
from batchrun.pricing import PriceLike, price_of
from batchrun.prompts.columns import InputColumns, LateSchema
from batchrun.prompts.files import InputFile, find_files, fingerprint
from batchrun.prompts.source import Source
from batchrun.records import ModelTotals
from batchrun.report.stats import summed
from batchrun.results.files import replacing
from batchrun.results.usage import usage_rows, write_usage
from batchrun.results.writer import Written, write_results

RESULTS = "results.parquet"
USAGE = "usage.parquet"
SUMMARY = "run.json"
SPOOL = "input.jsonl"
"""Rows that came over standard input, which cannot be read twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a run ended, or stands: what `run` returns, and what `run.json` and `--json` say."""

    state: str
    """`running`, `completed`, `stopped` (resumable) or `interrupted` (resumable)."""
    exit_code: int | None
    """As in the README; None while it runs."""
    message: str
    """Why it stopped, and what to do; empty when all is done."""
    directory: str
    results: str
    """Path of results.parquet."""
    usage: str
    """Path of usage.parquet."""
    rows: int
    """Rows in the results."""
    completed: int
    failed: int
    attempts: int
    throttled: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: float | None
    """Of all runs of this directory; None when a price is not known."""
    duration_s: float | None
    """Of the last run."""
    pid: int | None
    """Of the process that runs it."""
    models: list[dict[str, Any]]
    """One entry a model, with the columns of usage.parquet."""
    failures: list[dict[str, Any]]
    """The failed rows by `kind`, most first: how many `rows`, and an `example` of what was said."""
    simulated: bool = False
    """Whether the simulator made the answers up: then nothing was paid."""
    unrecorded: int = 0
    """Requests that had been sent and not recorded when a run died; over all runs of this directory."""
    version: str = __version__


def prices_of(job: Job, models: Mapping[str, Any]) -> dict[str, PriceLike | None]:
    """Return the price of each model, None where none is known."""
    return {model: price_of(model, job.prices, job.endpoint.provider) for model in models}


def summarize(
    job: Job,
    totals: Mapping[str, ModelTotals],
    directory: Path,
    *,
    state: str,
    exit_code: int | None = None,
    message: str = "",
    duration_s: float | None = None,
    pid: int | None = None,
    simulated: bool = False,
    unrecorded: int = 0,
    failures: Sequence[Failures] = (),
) -> Summary:
    """Return how a run stands, from its totals."""
    models = usage_rows({model: sums for model, sums in totals.items() if model}, prices_of(job, totals))
    costs = [model["cost_usd"] for model in models if model["attempts"]]
    sums = summed(totals.values())
    return Summary(
        state=state,
        exit_code=exit_code,
        message=message,
        directory=str(directory),
        results=str(directory / RESULTS),
        usage=str(directory / USAGE),
        rows=sums.requests,
        completed=sums.completed,
        failed=sums.failed,
        attempts=sums.attempts,
        throttled=sums.throttled,
        prompt_tokens=sums.prompt_tokens,
        completion_tokens=sums.completion_tokens,
        total_tokens=sums.total_tokens,
        cost_usd=None if None in costs else sum(costs),
        duration_s=duration_s,
        pid=pid,
        models=models,
        failures=[each._asdict() for each in failures],
        simulated=simulated,
        unrecorded=unrecorded,
    )


def save_summary(summary: Summary) -> None:
    """Write run.json, in one step.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    with replacing(Path(summary.directory) / SUMMARY) as temporary:
        temporary.write_bytes(orjson.dumps(dataclasses.asdict(summary), option=orjson.OPT_INDENT_2))


def stored_job(checkpoint: Checkpoint) -> Job:
    """Return the job that a checkpoint was made by.

    Raises:
        RunDirectoryError: it does not say.
    """
    job = checkpoint.fact("job")
    if job is None and checkpoint.totals():
        raise RunDirectoryError(
            f"{checkpoint.path}: was salvaged, and which job it is of is lost; run the job again: it goes on from here"
        )
    if job is None:
        raise RunDirectoryError(
            f"{checkpoint.path}: does not say yet which job it is of: its run has only begun, or died as it began; "
            "look again in a moment, or run the job"
        )
    try:
        return job_from_dict(job)
    except (KeyError, TypeError, AttributeError) as problem:
        raise damaged(checkpoint.path, f"what is kept of its job is no job: {problem!r}") from problem


class Exported(NamedTuple):
    """What an export found on its way."""

    notices: list[str]
    """What people should know about the results."""
    failures: list[Failures]


def export(directory: Path) -> Exported:
    """Write results.parquet and usage.parquet from the checkpoint.

    Reads the input again for its columns. Where it is gone, or has other rows now, the answers are written alone.

    Raises:
        RunDirectoryError: there is no checkpoint, it cannot be read, or a file cannot be written.
    """
    with Checkpoint(directory) as checkpoint:
        totals = checkpoint.totals()
        is_jobless = bool(totals) and checkpoint.fact("job") is None  # salvaged without it
        job = None if is_jobless else stored_job(checkpoint)
        prices = dict.fromkeys(totals) if job is None else prices_of(job, totals)
        notices: list[str] = []
        if job is None:
            notices.append("the results are without the input's columns and without costs, until the job runs again")

        def write(columns: InputColumns | None) -> Written:
            rows = checkpoint.columns()
            return write_results(directory / RESULTS, rows, columns, prices, lambda: usage_rows(totals, prices))

        inputs = None if job is None else _inputs(job, directory, checkpoint, notices)
        written = write(None) if inputs is None else _write_beside(inputs, write, notices)
        settled, counted = written.rows + written.dropped, summed(totals.values()).requests
        if settled != counted:
            raise damaged(checkpoint.path, f"holds {settled:,} settled rows where it should be {counted:,}")
        write_usage(directory / USAGE, {model: sums for model, sums in totals.items() if model}, prices)
        failures = checkpoint.failures()
    if written.dropped:
        notices.append(f"{written.dropped:,} answers are left out: the input no longer has their rows")
    return Exported(notices, failures)


_LOOK_ROWS = 8192
"""Rows of a JSON file that the types of its columns are taken from, before all of them are looked at if need be."""


class _Inputs(NamedTuple):
    """The input, and what of it is kept."""

    files: list[InputFile]
    keep: tuple[str, ...] | None
    limit: int | None


def _write_beside(inputs: _Inputs, write: Callable[[InputColumns | None], Written], notices: list[str]) -> Written:
    """Write the results with the input's columns: with the types that its first rows have, else with those of all."""
    try:
        try:
            return write(InputColumns(*inputs, look_rows=_LOOK_ROWS))
        except LateSchema:
            return write(InputColumns(*inputs))
    except InputError as problem:  # what was found of the input before does not hold: the answers do
        notices.append(f"the results are without the input's columns: {problem}; make them again: batchrun export")
        return write(None)


def _inputs(job: Job, directory: Path, checkpoint: Checkpoint, notices: list[str]) -> _Inputs | None:
    """Return the input whose columns stand beside the answers; None, and a notice, where they cannot."""
    paths = tuple(str(directory / SPOOL) if path == "-" else path for path in job.input.path)
    job = dataclasses.replace(job, input=dataclasses.replace(job.input, path=paths, strict=False))
    try:
        files = find_files(paths)
        if _may_have_changed(checkpoint, files) and not _still_fits(checkpoint, job):
            raise InputError("the input has changed since the run; run the job again to fit its answers to it")
        return _Inputs(files, job.output.keep, job.input.limit)
    except (InputError, JobError) as problem:
        notices.append(f"the results are without the input's columns: {problem}")
        return None


def _may_have_changed(checkpoint: Checkpoint, files: list[InputFile]) -> bool:
    """Return whether the input may be another than the run read. That of standard input was noted while it was read."""
    asked = checkpoint.fact("asked")  # none after a salvage
    has_other_input = asked is None or asked["input"] not in ("", fingerprint(files))
    return has_other_input or checkpoint.fact("mismatch") is not None


def _still_fits(checkpoint: Checkpoint, job: Job) -> bool:
    """Return whether no answer would stand beside a row that it is not of. Reads the whole input."""
    with Source(job) as source:
        source.open()
        return all(checkpoint.fits(batch) for batch in source.batches())
