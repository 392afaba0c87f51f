"""What identifies the job and the input of a run directory.

Outcomes stay valid while the requests stay the same. So a checkpoint records what its requests are made from (a digest
of the job, a fingerprint of the input files, the limit on rows), which endpoints answered, and whether the simulator
did. The resume, the preview and the readers of a run directory compare these here.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from batchrun import __version__
from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Facts, Known, Origin
from batchrun.job.catalogue import charged
from batchrun.job.judging import stated_setting
from batchrun.job.sections import Input, Job
from batchrun.job.serialization import job_to_dict
from batchrun.prompts.input.files import InputFile, fingerprint
from batchrun.prompts.selection import choice_of, includes
from batchrun.records import Parts
from batchrun.results.endpoints import base_urls, earlier_endpoints, is_among, named_endpoints, with_named
from batchrun.results.meanings import NO_MEANINGS, Meanings, meanings_of, stored_names, with_job
from batchrun.results.prices import paid_until_now

_ASKS: dict[str, tuple[str, ...]] = {
    "prompt": (),
    "model": (),
    "input": ("id", "encoding"),
    "response": ("schema", "mode"),
}
"""Sections and settings that requests are made from; all of a section where none is named."""

_NOT_ASKED = ("fallback",)
"""Settings of `[model]` that no request is made from."""

_KIND = "chat"
"""The kind of all requests of older versions."""


def origin_of(job: Job, files: Iterable[InputFile]) -> Origin:
    """Return what the requests of a job are made from."""
    parts = job_to_dict(job)
    for name in _NOT_ASKED:
        del parts["model"][name]
    if parts["model"]["kind"] == _KIND:  # runs of older versions stay the same
        del parts["model"]["kind"]
    made_of = [parts["prompt"], parts["model"], job.models, job.input.id, job.response.schema, job.response.mode]
    made_of += [job.by_flag] if job.by_flag else []
    made_of += [{"encoding": job.input.encoding}] if job.input.encoding else []
    digest = hashlib.blake2b(orjson.dumps(made_of, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
    files = list(files)
    origin: Origin = {"job": digest, "input": fingerprint(files), "limit": job.input.limit}
    if choice := choice_of(job, files):
        origin["rows"] = choice
    return origin


def changed_settings(recorded: Known, job: Job) -> list[str]:
    """Return the settings of the requests that differ from those of the job that a run has recorded.

    They are named as in the job file: `model.max_tokens`. Empty where only the input differs, or nothing is recorded.
    A setting that a flag sets now, or no longer, has changed too: rows that state their own value ask something else.
    One that the version before did not have had its default.
    """
    before, now = recorded.fact(facts.JOB), job_to_dict(job)
    if before is None:
        return []
    before = orjson.loads(orjson.dumps(before))
    before.setdefault("model", {}).setdefault("kind", _KIND)
    now = orjson.loads(orjson.dumps(now))
    usual = orjson.loads(orjson.dumps(job_to_dict(Job(input=Input(path=job.input.path)))))
    flags_changed = {*before.get("by_flag", ())} ^ {*job.by_flag}
    return [
        f"{section}.{'name' if (section, key) == ('model', 'names') else key}"
        for section, keys in _ASKS.items()
        for key in keys or now[section]
        if key not in _NOT_ASKED
        if before.get(section, {}).get(key, usual[section][key]) != now[section][key]
        or f"{section}.{key}" in flags_changed
    ]


def changed_parts(recorded: Known, job: Job, origin: Origin, *, is_other_stdin: bool = False) -> list[str]:
    """Return what differs from the run before, for people: settings, the input, the number of rows that is used.

    Args:
        recorded: facts of the run directory.
        job: as it is now.
        origin: of its requests now.
        is_other_stdin: whether standard input has other rows than before: it has no fingerprint.
    """
    parts = changed_settings(recorded, job)
    before = recorded.fact(facts.ORIGIN)
    if is_other_stdin or (before is not None and before["input"] != origin["input"]):
        parts.append("the input")
    if before is not None and not parts and before["job"] != origin["job"]:
        parts.append("the version of batchrun")  # which has settings that the one before had not
    if before is not None and before["limit"] != origin["limit"]:
        parts.append(f"input.limit (from {_limit_text(before)} to {_limit_text(origin)})")
    if before is not None:
        earlier, choice = before.get("rows", {}), origin.get("rows", {})
        names = {**earlier, **choice}
        if ("sample" in earlier) != ("sample" in choice):
            names.pop("sample_seed", None)  # it has no effect without a sample
        parts += [f"input.{name}" for name in names if earlier.get(name) != choice.get(name)]
    return [stated_setting(job, part) for part in parts]


def changed_text(recorded: Known, job: Job, origin: Origin, *, is_other_stdin: bool = False) -> str:
    """Return why outcomes may not fit the requests, as the beginning of a sentence; arguments as of `changed_parts`."""
    if parts := changed_parts(recorded, job, origin, is_other_stdin=is_other_stdin):
        return f"{' and '.join(parts)} changed"
    return "the checkpoint was salvaged" if recorded.fact(facts.SALVAGED) else "the job or the input may have changed"


def _limit_text(origin: Origin) -> str:
    return "all rows" if origin["limit"] is None else f"{origin['limit']:,}"


def has_changed(before: Origin, now: Origin) -> bool:
    """Return whether rows may ask something else now. More rows of the same input are only new."""
    if before["job"] != now["job"] or before["input"] != now["input"]:
        return True
    earlier, choice = before.get("rows", {}), now.get("rows", {})
    if choice != earlier:  # then the first N rows are others too
        return now["limit"] is not None or not includes(choice, earlier)
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
    """Return the caps of a job, and what they are for: its requests, its input and its prices."""
    limits = job.limits
    prices = [
        [model, price and [price.input_usd_per_mtok, price.output_usd_per_mtok, price.cached_input_usd_per_mtok]]
        for model in job.asked_models
        for price in charged(job, model) or (None,)
    ]
    return [limits.max_cost_usd, limits.max_tokens_total, [*origin_of(job, files).values(), prices]]


def has_agreed(recorded: Known, agreement: Sequence[Any]) -> bool:
    """Return whether the user has agreed to these caps before, or to lower ones for the same job.

    Args:
        recorded: facts of the run directory.
        agreement: what `agreement_of` returns for the job now.
    """
    before = recorded.fact(facts.BEGUN)
    if before is None or len(before) != len(agreement) or before[-1] != agreement[-1]:
        return False
    return all(
        now is None or (cap is not None and now >= cap) for cap, now in zip(before, agreement[:-1], strict=False)
    )


def note_requests(recorded: Facts, job: Job, origin: Origin, parts: Parts) -> None:
    """Record the job and the input that the outcomes fit from now on, and what the answers until now have cost.

    Args:
        recorded: facts of the run directory.
        job: that is run from now on.
        origin: what its requests are made from.
        parts: the totals.
    """
    recorded.set_fact(facts.PRICES, paid_until_now(recorded, parts) or None)
    if recorded.fact(facts.ORIGIN) != origin:  # what was counted is of another input
        recorded.set_fact(facts.TOTAL, None)
        recorded.set_fact(facts.IS_TOTAL_EXACT, None)
    recorded.set_fact(facts.ORIGIN, origin)
    recorded.set_fact(facts.MISMATCH, None)
    recorded.set_fact(facts.SALVAGED, None)
    recorded.set_fact(facts.JOB, job_to_dict(job))
    recorded.set_fact(facts.VERSION, __version__)
    recorded.set_fact(facts.FOLDER, _current_folder())


def note_start(recorded: Facts, job: Job, *, is_simulated: bool, has_answers: bool) -> dict[str, str]:
    """Record who answers from now on. Call it when requests are about to be sent, not before.

    Args:
        recorded: facts of the run directory.
        job: that is run.
        is_simulated: whether the simulator answers.
        has_answers: whether earlier executions sent anything.

    Returns:
        By name of an endpoint the name that its answers are to be stored under, where it is another one.
    """
    meanings: Meanings = NO_MEANINGS
    recorded.set_fact(facts.IDENTITY, recorded.fact(facts.IDENTITY) or uuid4().hex)
    recorded.set_fact(facts.SIMULATED, is_simulated)
    if not is_simulated:
        meanings = with_job(meanings_of(recorded) if has_answers else NO_MEANINGS, job)
        recorded.set_fact(facts.MEANT, meanings)
        recorded.set_fact(facts.NAMED, with_named(named_endpoints(recorded) if has_answers else {}, job))
        earlier = earlier_endpoints(recorded) if has_answers else []
        noted = recorded.fact(facts.UNNAMED)  # an older version noted none
        unnamed = earlier if noted is None or not has_answers else noted
        now = base_urls(job)
        recorded.set_fact(facts.UNNAMED, unnamed if job.has_several_endpoints else _with_last(unnamed, now))
        recorded.set_fact(facts.ENDPOINTS, _with_last(earlier, now))
    return stored_names(meanings, job)


def _with_last(earlier: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return base URLs with these at the end, each endpoint once."""
    return [*(url for url in earlier if not is_among(url, now)), *now]


def _current_folder() -> str | None:
    """Return the current directory, which the paths of the input are relative to; None when it was deleted."""
    try:
        return os.fsencode(Path.cwd()).decode("utf-8", "replace")  # a fact is JSON, which has no other names
    except FileNotFoundError:
        return None
