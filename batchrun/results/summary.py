"""The summary of a run: for people who started it, and in run.json for scripts."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from batchrun import __version__
from batchrun.checkpoint.reader import Failures
from batchrun.endpoint.pool.budget import Amount
from batchrun.job.catalogue import prices_of
from batchrun.job.sections import Job
from batchrun.records import ModelTotals, summed
from batchrun.results.replace import Replacements, replacing
from batchrun.results.run_directory import RESULTS, SUMMARY, USAGE
from batchrun.results.usage import usage_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """State and totals of a run, also while it runs: returned by `run`, and written to `run.json` and by `--json`."""

    state: str
    """`running`, `completed`, `stopped` (resumable) or `interrupted` (resumable)."""
    exit_code: int | None
    """As in the table of exit codes (docs/reference.md); None while it runs."""
    message: str
    """Why it stopped, or what was not published or uploaded, and what to do; empty when all is done."""
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
    """What the answers of all executions have cost; None when a price is not known."""
    duration_s: float | None
    """Of the last execution."""
    pid: int | None
    """Of the process that works on it."""
    models: list[dict[str, Any]]
    """One entry per model, with the columns of usage.parquet."""
    failures: list[dict[str, Any]]
    """The failed rows by `kind`, most frequent first: number of `rows`, and the message of one as `example`."""
    scores: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One entry per model, if answers are scored: `mean` with its 95 % `interval`, numbers of rows `scored` and
    `unscored`, `pass_at` k for several samples, and for `labels` accuracy, classes and confusion."""
    answers: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One entry per model: of its `completed` rows, how many are `empty` (no text, tool call or refusal; a number for
    each finish_reason), `cut_off`, `refused`, or state no token counts (`unstated`) or `contradictory` ones."""
    simulated: bool = False
    """Whether the simulator made the answers up; then nothing was paid."""
    set_aside_usd: float = 0.0
    """The most that requests have cost whose answer was not recorded or stated no tokens, as far as a cap was set."""
    set_aside_tokens: int = 0
    """The same in tokens."""
    unrecorded: int = 0
    """Requests that had been sent and not recorded when a process died; over all executions."""
    newly_settled: int | None = None
    """Rows that the last execution settled, 0 when it had nothing to do; None when it did not record this."""
    version: str = __version__

    @property
    def had_nothing_to_do(self) -> bool:
        """Whether the last execution found every row settled."""
        return self.state == "completed" and self.newly_settled == 0 and self.rows > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What only the last execution itself can report; the fields are those of `Summary`."""

    state: str
    exit_code: int | None = None
    message: str = ""
    duration_s: float | None = None
    pid: int | None = None
    newly_settled: int | None = None


class Unrecorded(NamedTuple):
    """Requests whose answer was not recorded, over all executions."""

    requests: int = 0
    """How many were in flight when a process died."""
    set_aside: Amount = Amount()
    """The most that they have cost, together with answers that stated no tokens."""


_ALL_RECORDED = Unrecorded()


class Findings(NamedTuple):
    """What the rows of the results showed; the fields are those of `Summary`."""

    failures: Sequence[Failures] = ()
    scores: Sequence[dict[str, Any]] = ()
    answers: Sequence[dict[str, Any]] = ()


_NO_FINDINGS = Findings()


def summarize(
    job: Job,
    directory: Path,
    status: Status,
    totals: Mapping[str, ModelTotals],
    *,
    findings: Findings = _NO_FINDINGS,
    simulated: bool = False,
    unrecorded: Unrecorded = _ALL_RECORDED,
) -> Summary:
    """Return the summary of a run.

    Args:
        job: what it runs.
        directory: where.
        status: of its last execution.
        totals: by model.
        findings: what the results showed.
        simulated: whether the simulator made the answers up.
        unrecorded: what was sent and not recorded.
    """
    models = usage_rows({model: sums for model, sums in totals.items() if model}, prices_of(job, totals))
    costs = [model["cost_usd"] for model in models if model["attempts"]]
    sums = summed(totals.values())
    return Summary(
        **dataclasses.asdict(status),
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
        models=models,
        failures=[each._asdict() for each in findings.failures],
        scores=list(findings.scores),
        answers=list(findings.answers),
        simulated=simulated,
        set_aside_usd=max(0.0, round(unrecorded.set_aside.usd, 9)),  # sums of money leave a rest below nothing
        set_aside_tokens=int(unrecorded.set_aside.tokens),
        unrecorded=unrecorded.requests,
    )


def save_summary(summary: Summary) -> None:
    """Replace run.json.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    with replacing(Path(summary.directory, SUMMARY)) as path:
        path.write_bytes(_json(dataclasses.asdict(summary)))


def read_summary(directory: Path) -> dict[str, Any]:
    """Return the content of run.json; empty when it cannot be read."""
    with suppress(OSError, orjson.JSONDecodeError):
        summary = orjson.loads((directory / SUMMARY).read_bytes())
        return summary if isinstance(summary, dict) else {}
    return {}


def save_scores(files: Replacements, directory: Path, scores: Sequence[dict[str, Any]]) -> None:
    """Write run.json with new scores, if the run has ended; a running process writes its own.

    Args:
        files: where the new run.json waits until the results are complete.
        directory: of the run.
        scores: one entry per model.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    summary = read_summary(directory)
    if summary.get("state", "running") != "running" and summary.get("scores") != scores:
        with files.writing(directory / SUMMARY) as path:
            path.write_bytes(_json({**summary, "scores": scores}))


def _json(summary: Mapping[str, Any]) -> bytes:
    return orjson.dumps(summary, option=orjson.OPT_INDENT_2)
