"""How a run stands, seen from outside: from its checkpoint, and from what it said last."""

from pathlib import Path
from typing import Any

import orjson

from batchrun.checkpoint.reader import Checkpoint
from batchrun.export import SUMMARY, Summary, stored_job, summarize
from batchrun.processes import is_alive


def standing(directory: Path) -> Summary:
    """Return the counts as the checkpoint has them now, and the state as the run itself said last.

    Raises:
        RunDirectoryError: there is no checkpoint, or it cannot be read.
    """
    with Checkpoint(directory) as checkpoint:
        job, totals, failures = stored_job(checkpoint), checkpoint.totals(), checkpoint.failures()
        simulated, unrecorded = bool(checkpoint.fact("simulated")), checkpoint.fact("unrecorded") or 0
    said = _said(directory)
    state, message, pid = said.get("state", "stopped"), said.get("message", ""), said.get("pid")
    if state == "running" and (pid is None or not is_alive(pid)):
        state, message, pid = "stopped", "the process has died; run the same command again to go on", None
    return summarize(
        job,
        totals,
        directory,
        state=state,
        exit_code=said.get("exit_code"),
        message=message,
        duration_s=said.get("duration_s"),
        pid=pid,
        simulated=simulated,
        unrecorded=unrecorded,
        failures=failures,
    )


def _said(directory: Path) -> dict[str, Any]:
    try:
        said = orjson.loads((directory / SUMMARY).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return said if isinstance(said, dict) else {}
