"""The stamp of the results: what they were made of, which files they are, and what was found as they were written.

It is a fact of the checkpoint, so that a finished job that runs again need not write ten million rows again. It holds
only while all of this is as it was:

- The settled rows. Rows are only ever added, so their totals tell. Where rows leave or change, as for `--retry-failed`
  or an edited input, the stamp goes in the same transaction (`recount`); a salvage does not take it along.
- What turns them into results: the version, the job but for a few sections, prices, the name of the endpoint, and the
  results of the judge.
- The input, whose columns stand next to the answers: its fingerprint.
- The files: inode, size and the times of the last changes. An edit, a copy or another file has others.

A scorer that is a Python function cannot be compared, so results with one have no stamp.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from batchrun import __version__
from batchrun.checkpoint import facts
from batchrun.checkpoint.file import connect, translated
from batchrun.checkpoint.reader import Checkpoint, write_fact
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import InputError
from batchrun.job.judging import JUDGE
from batchrun.prompts.input.files import find_files, fingerprint
from batchrun.results.endpoints import only_endpoint
from batchrun.results.prices import prices_in
from batchrun.results.run_directory import RESULTS, USAGE, input_paths, is_jobless, stored_job

_NOT_IN_RESULTS = ("limits", "engine", "notify", "publish", "endpoint", "endpoints", "prices", "by_flag")
"""Parts of a job that change nothing in its results: most users who run a finished job again have changed these.

What prices and endpoints do is compared by itself: what the answers cost, and the name of the only endpoint.
"""


class MadeOf(NamedTuple):
    """What results are made of."""

    rows: str
    """Digest of the settled rows, and of what turns them into results."""
    input: str
    """Fingerprint of the input; empty where it is not known."""


def rows_digest(directory: Path, checkpoint: Checkpoint) -> str:
    """Return the digest of the settled rows of a run, and of what turns them into results."""
    job, parts = stored_job(checkpoint), checkpoint.parts()
    price = prices_in(checkpoint, job)
    stored = checkpoint.fact(facts.JOB) or {}
    made_of = {
        "version": __version__,
        "job": {name: section for name, section in stored.items() if name not in _NOT_IN_RESULTS},
        "parts": [[[*source], [*totals[:-1], sorted(totals.stated_as_0)]] for source, totals in parts.items()],
        "prices": [repr(price(source.endpoint, source.answering_model)) for source in parts],
        "endpoint": only_endpoint(checkpoint),
        "simulated": checkpoint.fact(facts.SIMULATED),
        "judge": _state_of(directory / JUDGE / RESULTS) if job.judge.model is not None else None,
    }
    return hashlib.blake2b(orjson.dumps(made_of, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def made_of(directory: Path, checkpoint: Checkpoint) -> MadeOf | None:
    """Return what the results of a run would be made of now; None where that cannot be compared.

    That is so without a job, as after a salvage, and without the input that the rows belong to.
    """
    if is_jobless(checkpoint) or checkpoint.fact(facts.MISMATCH) is not None:
        return None
    job = stored_job(checkpoint)
    try:
        files = find_files(input_paths(job, directory, checkpoint), job.input.encoding)
    except InputError:
        return None
    return MadeOf(rows_digest(directory, checkpoint), fingerprint(files))


def stamped(directory: Path, checkpoint: Checkpoint, now: MadeOf | None) -> dict[str, Any] | None:
    """Return what was found as the results were written; None where they are not those that would be written now.

    Args:
        directory: of the run.
        checkpoint: of the run.
        now: what they would be made of.
    """
    stamp = checkpoint.fact(facts.RESULTS)
    if stamp is None or now is None or not now.input or stamp.get("made_of") != [*now]:
        return None
    return stamp["found"] if _are_in_place(directory, stamp) else None


def is_stamped(directory: Path, checkpoint: Checkpoint) -> bool:
    """Return whether the results have every settled row; the input is not looked at, which may be elsewhere."""
    stamp = checkpoint.fact(facts.RESULTS)
    if stamp is None or is_jobless(checkpoint) or not _are_in_place(directory, stamp):
        return False
    return bool(stamp["made_of"][0] == rows_digest(directory, checkpoint))


def stamp(directory: Path, made_of: MadeOf, found: dict[str, Any]) -> None:
    """Note what results were made of that have just been written.

    Args:
        directory: of the run; the caller has its lock.
        made_of: what they were made of, as the export read it.
        found: what was found, as JSON can hold it.

    Raises:
        RunDirectoryError: the checkpoint cannot be written.
    """
    path = directory / FILE_NAME
    files = {name: _state_of(directory / name) for name in (RESULTS, USAGE)}
    connection = connect(path)
    try:
        with translated(path):
            write_fact(connection, facts.RESULTS, {"made_of": [*made_of], "files": files, "found": found})
    finally:
        connection.close()


def _are_in_place(directory: Path, stamp: dict[str, Any]) -> bool:
    return all(its is not None and _state_of(directory / name) == its for name, its in stamp["files"].items())


def _state_of(path: Path) -> Sequence[int] | None:
    """Return what tells one state of a file from another; None where it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
