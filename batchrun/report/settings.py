"""The settings of a run as the report shows them: named as in the job file, never with a key."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson

from batchrun.job.catalogue import price_text
from batchrun.job.evaluate import Evaluate
from batchrun.job.sections import Job
from batchrun.report.cells import cut
from batchrun.report.texts import counted
from batchrun.results.summary import Summary
from batchrun.storage.urls import shown

_TEXT_CHARS = 20_000
"""Longest template that is shown in full."""


def facts_of(summary: Summary, job: Job, scorer: str | None) -> dict[str, str]:
    """Return the settings of the run, named as in the job file.

    Args:
        summary: of the run.
        job: as it was run last.
        scorer: what scored the results, if it was a function instead of the job's scorer.
    """
    evaluation = "evaluation" if scorer is None else "evaluation in the job, not used for these results"
    facts = {
        "models": "\n".join(job.models) or "each row names its model",
        "fallback": "\n".join(f"{model}: {other}" for model, other in job.fallbacks.items()),
        "endpoint": "simulator: the answers are made up" if summary.simulated else _endpoints(job),
        "project": "\n".join(dict.fromkeys(filter(None, (each.project for each in job.endpoints.values())))),
        "input": "\n".join(map(shown, job.input.path)),
        "rows": _settings(_choice(job)),
        "parameters": _settings({**job.model.parameters(), "num_samples": job.model.num_samples}),
        "images": job.prompt.images or "",
        "files": job.prompt.files or "",
        evaluation: _settings(stated(job.evaluate)),
        "limits": _settings({name: getattr(job.limits, name) for name in job.limits.__slots__}),
        "prices, USD per million tokens": "\n".join(map(_priced, summary.prices)),
        "directory": summary.directory,
        "batchrun": summary.version,
    }
    if summary.unrecorded:
        sent = counted(summary.unrecorded, "row")
        again = "they were sent again" if summary.state == "completed" else "the same command sends them again"
        facts["sent, not recorded"] = f"{sent}, when an execution ended; {again}"
    return {name: cut(value, _TEXT_CHARS) for name, value in facts.items() if value}


def _endpoints(job: Job) -> str:
    """Return the base URL of each endpoint, with its name where there are several."""
    return "\n".join(f"{name}: {each.base_url}" if name else each.base_url for name, each in job.endpoints.items())


def _choice(job: Job) -> dict[str, Any]:
    """Return the settings that choose rows of the input."""
    given = job.input
    seed = given.sample_seed if given.sample is not None else None
    return {"where": given.where, "sample": given.sample, "sample_seed": seed, "limit": given.limit}


def texts_of(job: Job) -> dict[str, str]:
    """Return the templates and the schema of the job: heading → text."""
    schema = job.response.schema and orjson.dumps(job.response.schema, option=orjson.OPT_INDENT_2).decode()
    texts = job.prompt.texts() | {"Schema of the answers": schema}
    return {name: cut(text, _TEXT_CHARS) for name, text in texts.items() if text}


def stated(evaluate: Evaluate) -> dict[str, Any]:
    """Return the settings of an evaluation that say something; empty if nothing is scored and nothing voted on."""
    values = {name: value for name, value in dataclasses.asdict(evaluate).items() if value not in (None, {})}
    return values if evaluate.target is not None else {name: each for name, each in values.items() if name != "scorer"}


def _settings(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_toml(value)}" for name, value in values.items() if value is not None)


def _toml(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else orjson.dumps(value, default=str).decode()


def _priced(entry: Mapping[str, Any]) -> str:
    place = f" at {entry['endpoint']}" if "endpoint" in entry else ""
    return f"{entry['model']}{place}: {price_text(entry)}"
