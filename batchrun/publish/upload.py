"""Uploads the results of a run to a bucket or to a dataset of the Hugging Face Hub.

The checkpoint is not uploaded. A file becomes visible completely or not at all. When an upload fails, the results are
safe in the run directory, and the same command uploads them again.
"""

from collections.abc import Sequence
from pathlib import Path

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError, PublishError
from batchrun.results.run_directory import CARD, REPORT, RESULTS, SUMMARY, USAGE, is_jobless, stored_job
from batchrun.storage.places import covers, store_of
from batchrun.storage.runs import read_summary
from batchrun.storage.urls import Place, is_remote, shown

_RESULTS = (RESULTS, USAGE)
"""The files that are uploaded by default. run.json comes last: once it is visible, so are the others."""

_ADDITIONS = (REPORT, CARD)
"""Uploaded with the results where they exist and are not older than the end of the run."""


def check_upload(url: str, inputs: Sequence[str], names: Sequence[str] = _RESULTS) -> None:
    """Refuse a URL that cannot be uploaded to, as far as this can be known before anything is paid for.

    Args:
        url: of the folder.
        inputs: the job's input paths.
        names: of the files.

    Raises:
        InputError: the URL is not a folder of a store, does not exist, or is inside the input.
    """
    if not is_remote(url):
        raise InputError(f"{url}: must be the URL of a store, such as s3://bucket/folder or hf://datasets/USER/NAME")
    place = Place.of(url)
    made = [place.with_key(f"{place.key.rstrip('/')}/{name}".lstrip("/")) for name in (*names, *_ADDITIONS, SUMMARY)]
    for path in filter(is_remote, inputs):
        if any(covers(Place.of(path), each) for each in made):
            cure = "the next run would read the results as prompts; use another folder"
            raise InputError(f"{place}: is inside the input {shown(path)}: {cure}")
    try:
        store_of(place).check_upload(place)
    except OSError as problem:
        raise InputError(f"{place}: cannot be uploaded to: {problem}") from problem


def check_export(directory: Path, url: str, names: Sequence[str]) -> None:
    """Refuse a URL that the results of an existing run cannot be uploaded to. Raises `InputError`."""
    with Checkpoint(directory) as checkpoint:
        inputs = () if is_jobless(checkpoint) else stored_job(checkpoint).input.path
    check_upload(url, inputs, names)


def upload_results(directory: Path, url: str, names: Sequence[str] = _RESULTS, *, again: str | None = None) -> None:
    """Upload a run's results to a folder, over earlier ones.

    Call it in `in_thread`, where Ctrl-C ends the process. In the main thread it would only end one call of the upload,
    which could make half a file visible.

    Args:
        directory: of the run.
        url: of the folder.
        names: of the files.
        again: the command that repeats the upload, for the message; `batchrun export DIRECTORY` by default.

    Raises:
        PublishError: the upload failed. The run directory is unchanged.
    """
    has_ended = read_summary(directory).get("state", "running") != "running"  # before the end, run.json is not final
    additions = [name for name in _ADDITIONS if RESULTS in names and _is_fresh(directory, name)]
    wanted = dict.fromkeys([*names, *additions, *([SUMMARY] if has_ended else [])])
    paths = [directory / name for name in wanted]
    place = Place.of(url)
    try:
        store_of(place).upload(paths, place)
    except (OSError, InputError) as problem:
        cure = f"they are safe in {directory}; upload them again: {again or f'batchrun export {directory}'}"
        raise PublishError(f"the results could not be uploaded to {place}: {problem}; {cure}") from problem


def _is_fresh(directory: Path, name: str) -> bool:
    """Return whether a file exists and was written after the run ended."""
    try:
        return (directory / name).stat().st_mtime_ns >= (directory / SUMMARY).stat().st_mtime_ns
    except FileNotFoundError:
        return False


def stored_upload(directory: Path) -> str | None:
    """Return the upload URL of a run's job, or None. Raises `RunDirectoryError`."""
    with Checkpoint(directory) as checkpoint:
        return None if is_jobless(checkpoint) else stored_job(checkpoint).output.upload
