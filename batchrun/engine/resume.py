"""Fits the checkpoint to the job before a run: what holds, what is asked anew, and whether the user agrees to that."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import orjson

from batchrun import __version__
from batchrun.checkpoint import facts
from batchrun.checkpoint.changes import Change, adapt, forget_failed, has_retired
from batchrun.checkpoint.store import Store
from batchrun.errors import JobError
from batchrun.job.sections import Job, job_to_dict
from batchrun.prompts.input.files import fingerprint
from batchrun.prompts.source import Source

CONFIRM_SHARE = 0.1
"""Share of the answers from which on buying them again, because the job was edited, wants a yes."""


def prepare(
    store: Store,
    job: Job,
    source: Source,
    *,
    retry_failed: bool,
    simulated: bool,
    agree: Callable[[str], bool],
    say: Callable[[str], None],
) -> bool:
    """Make the checkpoint ready for this run of the job.

    Only when the job or its input has changed since the last run is the whole input read first.

    Returns:
        Whether what is settled is known to fit the input, so that settled rows need not be looked at.

    Raises:
        JobError: answers would be bought again, and nobody has agreed to that; or simulated and real ones would mix.
    """
    if store.fact(facts.SIMULATED) not in (None, simulated):
        there = "real answers" if simulated else "simulated answers"
        cure = "the two do not mix; use another -o DIR, or --restart"
        raise JobError(f"{store.path.parent}: holds {there}; {cure}")
    origin = _origin(job, source)
    before = store.fact(facts.ORIGIN)
    if before is None:
        has_changed = bool(store.totals)  # salvaged, without a word of what was asked
    else:
        has_changed = facts.has_changed(before, origin) or (before != origin and has_retired(store))
    if store.fact(facts.MISMATCH) is not None:  # a row was another than its outcome's: all are looked at
        has_changed = True
    if has_changed:
        say("the job or its input is not what it was: the input is read whole first, to see which answers still fit")
        adapt(store, source.batches(), lambda change: _is_agreed(change, agree, say))
    if retry_failed and (count := forget_failed(store)):
        say(f"{count:,} failed rows are sent again")
    _tell_unrecorded(store, say)
    store.set_fact(facts.IDENTITY, store.fact(facts.IDENTITY) or uuid4().hex)
    facts.note_run(
        store, job=job_to_dict(job), version=__version__, origin=origin, folder=_folder(), is_simulated=simulated
    )
    store.expect(job.per_row)
    return bool(origin["input"])


def _folder() -> str | None:
    """Return the folder that one stands in, to which the paths of the input are relative; None where it is gone."""
    try:
        return os.fsencode(Path.cwd()).decode("utf-8", "replace")  # a fact is JSON, which has no other names
    except FileNotFoundError:
        return None


def _tell_unrecorded(store: Store, say: Callable[[str], None]) -> None:
    """Say how many requests were on their way when the last run died: their answers may be bought again."""
    if store.unrecorded:
        sent = f"{store.unrecorded:,} requests had been sent and not recorded"
        say(f"when the last run ended, {sent}; they are sent again")


def _origin(job: Job, source: Source) -> facts.Origin:
    """Return what the requests are made from."""
    parts = job_to_dict(job)
    made_of = [parts["prompt"], parts["model"], job.models, job.input.id, job.response.schema, job.response.mode]
    digest = hashlib.blake2b(orjson.dumps(made_of, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
    return {"job": digest, "input": fingerprint(source.files), "limit": job.input.limit}


def _is_agreed(change: Change, agree: Callable[[str], bool], say: Callable[[str], None]) -> bool:
    kept = f"{change.kept:,} rows keep their answers, {change.new:,} are to be sent, {change.gone:,} leave the results"
    say(f"the job or its input has changed: {kept}")
    if change.again <= CONFIRM_SHARE * change.settled:
        return True
    question = f"{change.again:,} of {change.settled:,} answers would be bought again, since their prompts have changed"
    if agree(question):
        return True
    raise JobError(f"{question}; add --yes if that is meant, or use another -o DIR")
