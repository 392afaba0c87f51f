"""Takes a run's results to where its job wants them as well: into a bucket, or a dataset of the Hugging Face Hub.

The checkpoint stays where it is. What is uploaded is visible whole or not at all; when it fails, the results are safe
in the run directory, and the same command uploads them again.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError, PublishError
from batchrun.readahead import in_thread
from batchrun.storage.places import covers, is_remote, store_of
from batchrun.stored import is_jobless, stored_job
from batchrun.summary import RESULTS, SUMMARY, USAGE

_UPLOADED = (RESULTS, USAGE, "report.html", "README.md", SUMMARY)
"""What is uploaded of what there is, in this order: whoever sees run.json finds the others."""


def check_upload(url: str, inputs: Sequence[str]) -> None:
    """Refuse what cannot be uploaded to, as far as that can be told before anything is paid for.

    Args:
        url: of the folder.
        inputs: the job's input paths.

    Raises:
        InputError: it is no place for results, or is not there.
    """
    for path in inputs:
        if is_remote(path) and covers(path, f"{url.rstrip('/')}/{RESULTS}"):
            raise InputError(f"{url}: is inside the input {path}: the next run would ask the answers; name another")
    try:
        store_of(url).check_upload(url)
    except OSError as problem:
        raise InputError(f"{url}: cannot be uploaded to: {problem}") from problem


def upload_results(directory: Path, url: str) -> None:
    """Upload a run's results to a folder, over those that are there.

    Raises:
        PublishError: they could not be; the run directory is as it was.
    """
    paths = [path for path in (directory / name for name in _UPLOADED) if path.is_file()]
    try:
        # In a thread: Ctrl-C ends the process then, and not just a call, which could make half a file visible.
        asyncio.run(in_thread(lambda: store_of(url).upload(paths, url)))
    except (OSError, InputError) as problem:
        cure = f"they are safe in {directory}, and uploaded again by: batchrun export {directory}"
        raise PublishError(f"the results could not be uploaded to {url}: {problem}; {cure}") from problem


def stored_upload(directory: Path) -> str | None:
    """Return where a run's job has its results uploaded to, if anywhere; raises `RunDirectoryError`."""
    with Checkpoint(directory) as checkpoint:
        return None if is_jobless(checkpoint) else stored_job(checkpoint).output.upload
