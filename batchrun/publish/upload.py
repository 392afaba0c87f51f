"""Takes a run's results to where its job wants them as well: into a bucket, or a dataset of the Hugging Face Hub.

The checkpoint stays where it is. What is uploaded is visible whole or not at all; when it fails, the results are safe
in the run directory, and the same command uploads them again.
"""

from collections.abc import Sequence
from pathlib import Path

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError, PublishError
from batchrun.results.run_directory import CARD, REPORT, RESULTS, SUMMARY, USAGE, is_jobless, stored_job
from batchrun.results.summary import read_summary
from batchrun.storage.places import covers, store_of
from batchrun.storage.urls import Place, is_remote, shown

_RESULTS = (RESULTS, USAGE)
"""What is uploaded unless other files were asked for; and run.json at the end: whoever sees that finds the others."""

_BESIDE_RESULTS = (REPORT, CARD)
"""What goes along with the results, where it is there and not older than the run's end."""


def check_upload(url: str, inputs: Sequence[str], names: Sequence[str] = _RESULTS) -> None:
    """Refuse what cannot be uploaded to, as far as that can be told before anything is paid for.

    Args:
        url: of the folder.
        inputs: the job's input paths.
        names: of the files.

    Raises:
        InputError: it is no place for results, or is not there.
    """
    if not is_remote(url):
        raise InputError(f"{url}: is no URL of a store, such as s3://bucket/folder or hf://datasets/USER/NAME")
    place = Place.of(url)
    made = [
        place.with_key(f"{place.key.rstrip('/')}/{name}".lstrip("/")) for name in (*names, *_BESIDE_RESULTS, SUMMARY)
    ]
    for path in filter(is_remote, inputs):
        if any(covers(Place.of(path), each) for each in made):
            cure = "the next run would ask the answers; name another"
            raise InputError(f"{place}: is inside the input {shown(path)}: {cure}")
    try:
        store_of(place).check_upload(place)
    except OSError as problem:
        raise InputError(f"{place}: cannot be uploaded to: {problem}") from problem


def check_export(directory: Path, url: str, names: Sequence[str]) -> None:
    """Refuse what the results of a run that was made cannot be uploaded to; raises `InputError`."""
    with Checkpoint(directory) as checkpoint:
        inputs = () if is_jobless(checkpoint) else stored_job(checkpoint).input.path
    check_upload(url, inputs, names)


def upload_results(directory: Path, url: str, names: Sequence[str] = _RESULTS, *, again: str | None = None) -> None:
    """Upload a run's results to a folder, over those that are there.

    Call it in `in_thread`: Ctrl-C then ends the process. In the main thread it would end one call of the upload, which
    could make half a file visible.

    Args:
        directory: of the run.
        url: of the folder.
        names: of the files.
        again: the command that uploads them when this fails, if it takes more than the run's directory.

    Raises:
        PublishError: they could not be; the run directory is as it was.
    """
    has_ended = read_summary(directory).get("state", "running") != "running"  # else it says little, and that wrongly
    beside = [name for name in _BESIDE_RESULTS if RESULTS in names and _is_fresh(directory, name)]
    wanted = dict.fromkeys([*names, *beside, *([SUMMARY] if has_ended else [])])
    paths = [directory / name for name in wanted]
    place = Place.of(url)
    try:
        store_of(place).upload(paths, place)
    except (OSError, InputError) as problem:
        cure = f"they are safe in {directory}, and uploaded again by: {again or f'batchrun export {directory}'}"
        raise PublishError(f"the results could not be uploaded to {place}: {problem}; {cure}") from problem


def _is_fresh(directory: Path, name: str) -> bool:
    """Return whether a file is there, and was made since the run has ended."""
    try:
        return (directory / name).stat().st_mtime_ns >= (directory / SUMMARY).stat().st_mtime_ns
    except FileNotFoundError:
        return False


def stored_upload(directory: Path) -> str | None:
    """Return where a run's job has its results uploaded to, if anywhere; raises `RunDirectoryError`."""
    with Checkpoint(directory) as checkpoint:
        return None if is_jobless(checkpoint) else stored_job(checkpoint).output.upload
