"""Writes report.html: reads a run directory and fills the page."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from batchrun import __version__
from batchrun.checkpoint.history import ExecutionTimes
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import RunDirectoryError
from batchrun.job.catalogue import spent_text
from batchrun.job.sections import Job
from batchrun.report.page import SAMPLE_BYTES, Page, render
from batchrun.report.plots import Figure, LimitPoint, figures
from batchrun.report.sample import FAILED_ROWS, ROWS, Sample, cut, read_sample
from batchrun.report.tally import Tally, tally
from batchrun.report.texts import counted, duration_text, stated_text
from batchrun.results.answer_counts import answer_lines
from batchrun.results.export import export
from batchrun.results.replace import replacing
from batchrun.results.run_directory import REPORT, RESULTS, stored_job
from batchrun.results.state import is_fresh, summary_of
from batchrun.results.summary import Summary
from batchrun.storage.urls import shown

_TEXT_CHARS = 20_000
"""Longest template that is shown in full."""

_EXAMPLE_CHARS = 1_000

_STATES = {"completed": "done", "interrupted": "stopped"}


class Reported(NamedTuple):
    """A report that was written."""

    path: Path
    notices: list[str]
    """Messages about the results, if they had to be written first."""


def write_report(directory: Path) -> Reported:
    """Write report.html, and before it results.parquet if it is missing or older than the checkpoint.

    Takes a few seconds for a million rows, and memory for a batch of rows.

    Raises:
        RunDirectoryError: the directory holds no run, it cannot be read, or a file cannot be written.
    """
    notices = [] if is_fresh(directory) else export(directory).notices
    summary = summary_of(directory)  # its scores are those in the results
    path = directory / RESULTS
    try:
        with Checkpoint(directory) as checkpoint:
            job = stored_job(checkpoint)
            found = tally(path, failed_rows=FAILED_ROWS)
            executions = checkpoint.executions(is_running=summary.state == "running")
            limits = [LimitPoint(*each) for each in checkpoint.limits()]
            plots = figures(found, limits, _throttles(checkpoint, found), running_s=summary.running_s)
        facts = _facts(summary, job, found) | _history(executions)
        page = _page(summary, job, found, facts, plots, read_sample(path, found.failed_rows, SAMPLE_BYTES))
    except (OSError, pa.ArrowException) as problem:
        cure = f"write it again: batchrun export {directory}"
        raise RunDirectoryError(f"{path}: cannot be read ({problem}); {cure}") from problem
    with replacing(directory / REPORT) as temporary:
        temporary.write_text(render(page), encoding="utf-8", newline="\n")
    return Reported(directory / REPORT, notices)


def _throttles(checkpoint: Checkpoint, found: Tally) -> dict[int, int]:
    if found.timeline is None:
        return {}
    counted = checkpoint.throttles(found.timeline.start_ms, found.timeline.width_ms)
    inside: dict[int, int] = {}
    for number, throttled in counted.items():
        place = min(max(number, 0), found.timeline.bins - 1)
        inside[place] = inside.get(place, 0) + throttled
    return inside


def _page(summary: Summary, job: Job, found: Tally, facts: dict[str, str], plots: list[Figure], sample: Sample) -> Page:
    return Page(
        name=job.name,
        state=_state(summary),
        is_done=summary.state == "completed" and not summary.failed,
        message="\n".join(filter(None, [summary.message, *answer_lines(summary.answers)])),
        facts=facts,
        texts=_texts(job),
        totals=_totals(summary),
        models=summary.models,
        failures=[each | {"example": cut(each["example"] or "", _EXAMPLE_CHARS)} for each in summary.failures],
        figures=plots,
        scores=[each for each in summary.scores if each["mean"] is not None],
        sample=sample,
        rows=found.rows,
        failed_shown=len(found.failed_rows) if len(sample.rows) == ROWS and not sample.is_all else 0,
        version=__version__,
        made_at=_utc(datetime.now(UTC)),
    )


def _state(summary: Summary) -> str:
    if summary.state == "completed" and summary.failed:
        return f"finished, {summary.failed:,} failed"
    return _STATES.get(summary.state, summary.state)


def _totals(summary: Summary) -> dict[str, str]:
    cost_usd = summary.cost_usd
    cost = "no price known" if cost_usd is None else f"{spent_text(cost_usd)} USD"
    totals = {
        "rows completed": f"{summary.completed:,}",
        "rows failed": f"{summary.failed:,}",
        "tokens in": stated_text(summary.prompt_tokens),
        "tokens out": stated_text(summary.completion_tokens),
        "simulated cost" if summary.simulated else "cost": cost,
        "requests sent": f"{summary.attempts:,}",
        "requests throttled": f"{summary.throttled:,}",
    }
    if summary.running_s is not None:
        count = len(summary.executions)
        over = f", {count:,} executions" if count > 1 else ""
        totals[f"running time{over}"] = duration_text(summary.running_s)
    elif summary.duration_s is not None:  # of an older version
        totals["last execution"] = duration_text(summary.duration_s)
    return totals


def _facts(summary: Summary, job: Job, found: Tally) -> dict[str, str]:
    """Return the settings of the run, named as in the job file. A job never contains a key."""
    facts = {
        "models": "\n".join(job.models) or "each row names its model",
        "endpoint": "simulator: the answers are made up" if summary.simulated else job.endpoint.base_url,
        "project": job.endpoint.project or "",
        "input": "\n".join(map(shown, job.input.path)),
        "parameters": _settings({**job.model.parameters(), "num_samples": job.model.num_samples}),
        "images": job.prompt.images or "",
        "evaluation": _settings(dataclasses.asdict(job.evaluate)) if job.evaluate.target else "",
        "limits": _settings({name: getattr(job.limits, name) for name in job.limits.__slots__}),
        "prices, USD per million tokens": "\n".join(f"{model}: {_price(price)}" for model, price in job.prices.items()),
        "directory": summary.directory,
        "batchrun": summary.version,
    }
    if found.timeline is not None:
        start_s = found.timeline.start_ms / 1000
        facts["first request"] = _utc(datetime.fromtimestamp(start_s, UTC))
        facts["last answer"] = _utc(datetime.fromtimestamp(start_s + found.timeline.seconds, UTC))
    if summary.unrecorded:
        sent = counted(summary.unrecorded, "request")
        facts["sent, not recorded"] = f"{sent}, when a process died; a resumed run sends them again"
    return {name: cut(value, _TEXT_CHARS) for name, value in facts.items() if value}


def _history(executions: list[ExecutionTimes]) -> dict[str, str]:
    """Return how many executions the run had, how many of these died, and how many paused."""
    if not executions:
        return {}  # an older version sent it
    counts = {
        "died": sum(each.state == "died" for each in executions),
        "paused": sum(bool(each.pauses) for each in executions),
    }
    return {"executions": ", ".join([str(len(executions)), *(f"{n} {what}" for what, n in counts.items() if n)])}


def _texts(job: Job) -> dict[str, str]:
    schema = job.response.schema and orjson.dumps(job.response.schema, option=orjson.OPT_INDENT_2).decode()
    texts = {"System prompt": job.prompt.system, "User prompt": job.prompt.user, "Schema of the answers": schema}
    return {name: cut(text, _TEXT_CHARS) for name, text in texts.items() if text}


def _settings(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_toml(value)}" for name, value in values.items() if value is not None)


def _toml(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else orjson.dumps(value, default=str).decode()


def _price(price: Any) -> str:
    cached = "" if price.cached_input_usd_per_mtok is None else f", {price.cached_input_usd_per_mtok:g} cached"
    return f"{price.input_usd_per_mtok:g} in{cached}, {price.output_usd_per_mtok:g} out"


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
