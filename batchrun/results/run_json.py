"""Writes and reads run.json."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from batchrun.errors import RunDirectoryError
from batchrun.results.replace import Replacements, replacing
from batchrun.results.run_directory import SUMMARY
from batchrun.results.summary import Summary
from batchrun.storage.runs import read_summary

_PARTIAL = ("attempts", "throttled")
"""What is complete only when a run has ended: the attempts of rows that wait to be sent again are not counted yet."""


def entry_of(summary: Summary) -> dict[str, Any]:
    """Return a summary as JSON can hold it; while the run runs, without counts that are not complete."""
    entry = dataclasses.asdict(summary)
    if summary.state == "running":
        for each in (entry, *entry["models"], *entry["endpoints"], *entry["executions"][-1:]):
            each.update({name: None for name in _PARTIAL if name in each})
    return entry


def save_summary(summary: Summary) -> None:
    """Replace run.json.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    with replacing(Path(summary.directory, SUMMARY)) as path:
        path.write_bytes(_json(entry_of(summary)))


def save_ending(summary: Summary) -> None:
    """Write to run.json how a run ended that could not write its directory, as far as that is possible.

    A full disk may have no room for a new file, and yet take new content in the place of the old.
    """
    try:
        save_summary(summary)
    except RunDirectoryError:
        path, content = Path(summary.directory, SUMMARY), _json(entry_of(summary))
        with suppress(OSError), path.open("r+b") as file:
            file.write(content)
            file.truncate()


def save_scores(
    files: Replacements, directory: Path, scores: Sequence[dict[str, Any]], agreement: dict[str, Any] | None = None
) -> None:
    """Write run.json with new scores, if the run has ended; a running process writes its own.

    Args:
        files: where the new run.json waits until the results are complete.
        directory: of the run.
        scores: one entry per model and column of scores.
        agreement: how far the answers agree.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    summary = read_summary(directory)
    found = {"scores": scores, "agreement": agreement}
    if summary.get("state", "running") != "running" and any(summary.get(key) != its for key, its in found.items()):
        with files.writing(directory / SUMMARY) as path:
            path.write_bytes(_json({**summary, **found}))


def _json(summary: Mapping[str, Any]) -> bytes:
    return orjson.dumps(summary, option=orjson.OPT_INDENT_2)
