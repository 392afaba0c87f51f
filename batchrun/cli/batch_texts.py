"""The batches of a run as lines for people."""

import time

from batchrun.job.catalogue import spent_text
from batchrun.report.batches import batch_text, ended_texts
from batchrun.results.batches import figures_in
from batchrun.results.summary import Summary

_MOST = 12
"""Most batches that are listed."""


def batch_lines(summary: Summary) -> list[str]:
    """Return a line for each batch that is not collected, and one for the others; none where there are none."""
    if summary.batches is None:
        return []
    now_ms = int(time.time() * 1000)
    batches = figures_in(summary.batches)
    is_running = summary.state == "running"
    texts = [batch_text(each, now_ms, is_running=is_running) for each in batches[:_MOST]]
    texts += [f"and {len(batches) - _MOST} more"] if len(batches) > _MOST else []
    if summary.batches["set_aside_usd"]:
        texts.append(f"up to {spent_text(summary.batches['set_aside_usd'])} USD are set aside for these")
    texts += ended_texts(summary.batches)
    return [f"{'' if number else 'batches':<9} {text}" for number, text in enumerate(texts)]
