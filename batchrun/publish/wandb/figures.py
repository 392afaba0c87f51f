"""The data that W&B gets about a run: live figures, totals and the job as config."""

import re
from pathlib import Path
from typing import Any

from batchrun.checkpoint.reader import Checkpoint
from batchrun.job.sections import Job
from batchrun.job.serialization import job_to_dict
from batchrun.records import summed
from batchrun.results.prices import prices_in
from batchrun.results.run_directory import stored_job
from batchrun.results.state import figures_of
from batchrun.results.summary import Summary
from batchrun.results.usage import cost_of, usage_rows
from batchrun.storage.urls import shown

_TOTALS = (
    "state",
    "rows",
    "completed",
    "failed",
    "attempts",
    "throttled",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cost_usd",
    "duration_s",
    "simulated",
)


def live_figures(directory: Path) -> dict[str, Any]:
    """Return the progress of a run as plain numbers."""
    figures = figures_of(directory)
    with Checkpoint(directory) as checkpoint:
        prices, parts = prices_in(checkpoint, stored_job(checkpoint)), checkpoint.parts()
    usage = summed(parts.values()).usage
    known: dict[str, Any] = {
        "rows": figures.done,
        "rows_total": None if figures.total is None else figures.total.rows,
        "failed": figures.failed,
        "throttled": figures.throttled,
        "tokens": figures.tokens,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "in_flight": figures.in_flight,
        "limit": figures.limit,
        "waiting": figures.waiting,
        "paused": int(figures.pause is not None),
        "cost_usd": cost_of(usage_rows(parts, prices)),
    }
    return {name: value for name, value in known.items() if value is not None}


def totals(summary: Summary) -> dict[str, Any]:
    """Return the totals of a run."""
    known = {name: getattr(summary, name) for name in _TOTALS}
    known |= {f"{each.get('column', 'score')}/{each['model']}": each["mean"] for each in summary.scores}
    return {name: value for name, value in known.items() if value is not None}


def config(job: Job) -> dict[str, Any]:
    """Return the settings of a job that have a value. A job holds no key; signatures in URLs are removed."""
    settings = {name: value for name, value in job_to_dict(job).items() if name != "publish"}
    settings["input"] = settings["input"] | {"path": [shown(path) for path in settings["input"]["path"]]}
    return {
        name: {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value
        for name, value in settings.items()
    }


def artifact_name(run: str) -> str:
    """Return the artifact name of a run's results. W&B allows ASCII and at most 128 characters."""
    return re.sub(r"[^\w.-]+", "-", f"{run[:120]}-results", flags=re.ASCII).strip("-")
