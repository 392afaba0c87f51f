"""What identifies the job, the input and the endpoint of a run directory.

Outcomes stay valid while the requests stay the same. So a checkpoint records what its requests are made from (a digest
of the job, a fingerprint of the input files, the limit on rows), which endpoints answered, and whether the simulator
did. The resume, the preview and the readers of a run directory compare these here.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from batchrun import __version__
from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Facts, Known, Origin
from batchrun.job.sections import Job
from batchrun.job.serialization import job_to_dict
from batchrun.prompts.input.files import InputFile, fingerprint

_ASKS: dict[str, tuple[str, ...]] = {"prompt": (), "model": (), "input": ("id",), "response": ("schema", "mode")}
"""Sections and settings that requests are made from; all of a section where none is named."""


def origin_of(job: Job, files: Iterable[InputFile]) -> Origin:
    """Return what the requests of a job are made from."""
    parts = job_to_dict(job)
    made_of = [parts["prompt"], parts["model"], job.models, job.input.id, job.response.schema, job.response.mode]
    digest = hashlib.blake2b(orjson.dumps(made_of, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
    return {"job": digest, "input": fingerprint(files), "limit": job.input.limit}


def changed_settings(recorded: Known, job: Job) -> list[str]:
    """Return the settings of the requests that differ from those of the job that a run has recorded.

    They are named as in the job file: `model.max_tokens`. Empty where only the input differs, or nothing is recorded.
    """
    before, now = recorded.fact(facts.JOB), job_to_dict(job)
    if before is None:
        return []
    before = orjson.loads(orjson.dumps(before))
    now = orjson.loads(orjson.dumps(now))
    return [
        f"{section}.{'name' if (section, key) == ('model', 'names') else key}"
        for section, keys in _ASKS.items()
        for key in keys or now[section]
        if before.get(section, {}).get(key) != now[section][key]
    ]


def has_changed(before: Origin, now: Origin) -> bool:
    """Return whether rows may ask something else now. More rows of the same input are only new."""
    if before["job"] != now["job"] or before["input"] != now["input"]:
        return True
    return now["limit"] is not None and (before["limit"] is None or now["limit"] < before["limit"])


def rows_of(recorded: Known, job: Job, files: Iterable[InputFile]) -> int | None:
    """Return how many input rows the job uses, if an earlier execution has counted them; None where it did not."""
    origin, total = origin_of(job, files), recorded.fact(facts.TOTAL)
    if total is None or not recorded.fact(facts.IS_TOTAL_EXACT):
        return None
    is_same = bool(origin["input"]) and recorded.fact(facts.ORIGIN) == origin
    return total // job.per_row if is_same and total % job.per_row == 0 else None


def may_be_other_input(recorded: Known, files: Iterable[InputFile]) -> bool:
    """Return whether files may hold other rows than the run read.

    Standard input has no fingerprint: its rows were compared while they were read.
    """
    origin = recorded.fact(facts.ORIGIN)  # None after a salvage
    is_other = origin is None or origin["input"] not in ("", fingerprint(files))
    return is_other or recorded.fact(facts.MISMATCH) is not None


def agreement_of(job: Job, files: Iterable[InputFile]) -> list[Any]:
    """Return the caps of a job and what they are for: a user who agreed to these is not asked again."""
    limits = job.limits
    return [limits.max_cost_usd, limits.max_tokens_total, job.input.limit, job.per_row, fingerprint(files)]


def earlier_endpoints(recorded: Known) -> list[str]:
    """Return the base URLs that have answered rows of this directory, the latest last; not the simulator's."""
    endpoints = recorded.fact(facts.ENDPOINTS)
    if endpoints is not None:
        return endpoints
    job = recorded.fact(facts.JOB)  # all that an older version recorded
    if job is None or recorded.fact(facts.SIMULATED):
        return []
    return [url] if isinstance(url := job.get("endpoint", {}).get("base_url"), str) else []


def note_requests(recorded: Facts, job: Job, origin: Origin) -> None:
    """Record the job and the input that the outcomes fit from now on."""
    if recorded.fact(facts.ORIGIN) != origin:  # what was counted is of another input
        recorded.set_fact(facts.TOTAL, None)
        recorded.set_fact(facts.IS_TOTAL_EXACT, None)
    recorded.set_fact(facts.ORIGIN, origin)
    recorded.set_fact(facts.MISMATCH, None)
    recorded.set_fact(facts.JOB, job_to_dict(job))
    recorded.set_fact(facts.VERSION, __version__)
    recorded.set_fact(facts.FOLDER, _current_folder())


def note_start(recorded: Facts, job: Job, *, is_simulated: bool, has_answers: bool) -> None:
    """Record who answers from now on. Call it when requests are about to be sent, not before.

    Args:
        recorded: facts of the run directory.
        job: that is run.
        is_simulated: whether the simulator answers.
        has_answers: whether earlier executions sent anything.
    """
    recorded.set_fact(facts.IDENTITY, recorded.fact(facts.IDENTITY) or uuid4().hex)
    recorded.set_fact(facts.SIMULATED, is_simulated)
    if not is_simulated:
        earlier = earlier_endpoints(recorded) if has_answers else []
        others = [url for url in earlier if url != job.endpoint.base_url]
        recorded.set_fact(facts.ENDPOINTS, [*others, job.endpoint.base_url])


def _current_folder() -> str | None:
    """Return the current directory, which the paths of the input are relative to; None when it was deleted."""
    try:
        return os.fsencode(Path.cwd()).decode("utf-8", "replace")  # a fact is JSON, which has no other names
    except FileNotFoundError:
        return None
