"""The batches of a run as lines for people."""

import time
from datetime import datetime

from batchrun.job.catalogue import spent_text
from batchrun.records import BatchFigures
from batchrun.report.batches import batch_text
from batchrun.report.texts import counted
from batchrun.results.summary import Summary

_MOST = 12
"""Most batches that are listed."""

_ENDS = {
    "collected": "collected",
    "not_taken": "not taken by the provider",
    "gone": "gone at the provider, and not collected",
    "given_up": "given up, which another key has created",
}
"""What became of batches, as `Summary.batches` counts them, in words."""


def batch_lines(summary: Summary) -> list[str]:
    """Return a line for each batch that is not collected, and one for the others; none where there are none."""
    if summary.batches is None:
        return []
    now_ms = int(time.time() * 1000)
    batches = [_figures(each) for each in summary.batches["open"]]
    is_running = summary.state == "running"
    texts = [batch_text(each, now_ms, is_running=is_running) for each in batches[:_MOST]]
    texts += [f"and {len(batches) - _MOST} more"] if len(batches) > _MOST else []
    if summary.batches["set_aside_usd"]:
        texts.append(f"up to {spent_text(summary.batches['set_aside_usd'])} USD are set aside for these")
    for name, what in _ENDS.items():
        if count := summary.batches[name]:
            texts.append(f"{counted(count, 'batch', 'batches')} {what}")
    return [f"{'' if number else 'batches':<9} {text}" for number, text in enumerate(texts)]


def _figures(entry: dict[str, object]) -> BatchFigures:
    at = entry["expires_at"]
    expires_ms = int(1000 * datetime.fromisoformat(str(at)).timestamp()) if at else None
    counts = {name: entry[name] for name in ("number", "status", "requests", "completed", "failed")}
    return BatchFigures(name=str(entry["id"]), expires_at_ms=expires_ms, **counts)  # type: ignore[arg-type]
