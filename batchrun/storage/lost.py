"""What is left of a run whose checkpoint is gone, and which command goes on with it."""

from pathlib import Path

from batchrun.errors import RunDirectoryError
from batchrun.storage.runs import BATCHES_FOLDER, RUN_FILE, SUMMARY_FILE, batch_files, read_summary, such_as_run


def no_run(directory: Path) -> RunDirectoryError:
    """Return the error of a directory that has no checkpoint: what is left of its run, or that there is none."""
    if text := lost_text(directory):
        return RunDirectoryError(text)
    cure = f"give the directory of a run{such_as_run(directory)}"
    return RunDirectoryError(f"{directory}: holds no run (no {RUN_FILE}); {cure}")


def lost_text(directory: Path) -> str:
    """Return what is left of a run whose checkpoint is gone, and what goes on with it; empty where nothing is left."""
    settled, batches = settled_rows(directory), sum(1 for _ in batch_files(directory))
    left = [f"{SUMMARY_FILE} counts {_counted(settled, 'settled row', 'settled rows')}"] if settled else []
    left += [f"{BATCHES_FOLDER}/ has the files of {_counted(batches, 'batch', 'batches')}"] if batches else []
    if not left:
        return ""
    cure = "run the job again: it finds what is under way by these files"
    if settled:
        cure = "put it back from a copy, or run the job again with --restart: it "
        cure += "finds what is under way by these files, and sends all other" if batches else "sends all"
        cure += " rows again"
    path = directory / RUN_FILE
    return f"{path}: is {'empty' if path.exists() else 'gone'}; {' and '.join(left)}; {cure}"


def settled_rows(directory: Path) -> int:
    """Return how many settled rows run.json counts; 0 where it cannot be read."""
    summary = read_summary(directory)
    return sum(count for name in ("completed", "failed") if isinstance(count := summary.get(name), int))


def _counted(count: int, noun: str, plural: str) -> str:
    return f"{count:,} {noun if count == 1 else plural}"
