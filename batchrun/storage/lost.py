"""What is left of a run whose checkpoint is gone, and which command goes on with it."""

from pathlib import Path
from typing import NamedTuple

from batchrun.errors import RunDirectoryError
from batchrun.storage.runs import BATCHES_FOLDER, RUN_FILE, SUMMARY_FILE, batch_files, read_summary, such_as_run

_MOST_NAMES = 3
"""Most batches that are named."""

_PERHAPS_CREATED = ("uploading", "not_known")
"""Status of a batch that has no name yet. Source: `Summary.batches`."""


class LostBatches(NamedTuple):
    """Batches that run.json lists at the provider, and whose files are gone with the checkpoint."""

    batches: int
    requests: int
    names: tuple[str, ...]
    """The provider's, as far as they are known."""

    def __str__(self) -> str:
        """Return them for people."""
        named = self.names[:_MOST_NAMES]
        if named and len(named) < self.batches:
            named += (f"{self.batches - len(named):,} more",)
        text = f"{_counted(self.batches, 'batch', 'batches')} with {_counted(self.requests, 'request', 'requests')}"
        return f"{text} at the provider ({', '.join(named) or 'names not known'})"


def no_run(directory: Path) -> RunDirectoryError:
    """Return the error of a directory that has no checkpoint: what is left of its run, or that there is none."""
    if text := lost_text(directory):
        return RunDirectoryError(text)
    cure = f"give the directory of a run{such_as_run(directory)}"
    return RunDirectoryError(f"{directory}: holds no run (no {RUN_FILE}); {cure}")


def lost_text(directory: Path) -> str:
    """Return what is left of a run whose checkpoint is gone, and what goes on with it; empty where nothing is left."""
    settled, batches, lost = settled_rows(directory), sum(1 for _ in batch_files(directory)), lost_batches(directory)
    left = [f"{SUMMARY_FILE} counts {_counted(settled, 'settled row', 'settled rows')}"] if settled else []
    left += [f"{BATCHES_FOLDER}/ has the files of {_counted(batches, 'batch', 'batches')}"] if batches else []
    left += [f"{SUMMARY_FILE} lists {lost}, whose files are gone too"] if lost.batches else []
    if not left:
        return ""
    cure = "run the job again: it finds what is under way by these files"
    if settled or lost.batches:
        flags = " and ".join([*(["--restart"] if settled else []), *(["--yes"] if lost.batches else [])])
        cure = f"put it back from a copy, or run the job again with {flags}: it "
        cure += "finds what is under way by these files, and sends all other" if batches else "sends all"
        cure += " rows again"
    path = directory / RUN_FILE
    return f"{path}: is {'empty' if path.exists() else 'gone'}; {' and '.join(left)}; {cure}"


def settled_rows(directory: Path) -> int:
    """Return how many settled rows run.json counts; 0 where it cannot be read."""
    summary = read_summary(directory)
    return sum(count for name in ("completed", "failed") if isinstance(count := summary.get(name), int))


def lost_batches(directory: Path) -> LostBatches:
    """Return the batches that run.json lists at the provider, and that have no file."""
    batches = read_summary(directory).get("batches")
    listed = batches.get("open") if isinstance(batches, dict) else None
    known = {number for number, _ in batch_files(directory)}
    entries = [each for each in listed or () if isinstance(each, dict) and each.get("number") not in known]
    lost = [each for each in entries if each.get("id") or each.get("status") in _PERHAPS_CREATED]
    names = tuple(str(each["id"]) for each in lost if each.get("id"))
    return LostBatches(len(lost), sum(int(each.get("requests") or 0) for each in lost), names)


def _counted(count: int, noun: str, plural: str) -> str:
    return f"{count:,} {noun if count == 1 else plural}"
