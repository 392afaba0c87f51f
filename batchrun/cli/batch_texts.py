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


def batch_lines(summary: Summary) -> list[str]:
    """Return a line for each batch that is not collected, and one for the others; none where there are none."""
    if summary.batches is None:
        return []
    now_ms = int(time.time() * 1000)
    batches = [_figures(each) for each in summary.batches["open"]]
    texts = [batch_text(each, now_ms) for each in batches[:_MOST]]
    texts += [f"and {len(batches) - _MOST} more"] if len(batches) > _MOST else []
    if summary.batches["set_aside_usd"]:
        texts.append(f"up to {spent_text(summary.batches['set_aside_usd'])} USD are set aside for these")
    if collected := summary.batches["collected"]:
        texts.append(f"{counted(collected, 'batch', 'batches')} collected")
    if given_up := summary.batches["given_up"]:
        texts.append(f"{counted(given_up, 'batch', 'batches')} given up, which another key has created")
    return [f"{'' if number else 'batches':<9} {text}" for number, text in enumerate(texts)]


def _figures(entry: dict[str, object]) -> BatchFigures:
    at = entry["expires_at"]
    expires_ms = int(1000 * datetime.fromisoformat(str(at)).timestamp()) if at else None
    counts = {name: entry[name] for name in ("number", "status", "requests", "completed", "failed")}
    return BatchFigures(name=str(entry["id"]), expires_at_ms=expires_ms, **counts)  # type: ignore[arg-type]
