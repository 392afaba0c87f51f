"""The batches of a run in words. Pure."""

from collections.abc import Sequence

from batchrun.records import BatchFigures
from batchrun.report.texts import counted, duration_text


def batches_text(batches: Sequence[BatchFigures], now_ms: int) -> str:
    """Return what is under way: states, what is answered, and how long until the first batch expires.

    Args:
        batches: that are not collected.
        now_ms: Unix time.
    """
    if not batches:
        return "no batch under way"
    states: dict[str, int] = {}
    for each in batches:
        states[each.status] = states.get(each.status, 0) + 1
    named = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in states.items())
    ended, total = (sum(each.completed + each.failed for each in batches), sum(each.requests for each in batches))
    text = f"{counted(len(batches), 'batch', 'batches')}: {named}, {ended:,}/{total:,} answered"
    ends_ms = min((each.expires_at_ms for each in batches if each.expires_at_ms is not None), default=None)
    if ends_ms is None or ends_ms <= now_ms:
        return text
    first = "the first expires" if len(batches) > 1 else "expires"
    return f"{text}, {first} in {duration_text((ends_ms - now_ms) / 1000)}"


def batch_text(batch: BatchFigures, now_ms: int, *, is_running: bool) -> str:
    """Return one batch as a line: its number, the provider's name, its state, counts, and time left.

    Args:
        batch: that is not collected.
        now_ms: Unix time.
        is_running: whether a process looks after it; else it is shown as it was seen last.
    """
    requests = counted(batch.requests, "request")
    if batch.status in _WITHOUT_COUNTS:
        return f"{batch.number} {_WITHOUT_COUNTS[batch.status].format(requests)}"
    parts = [f"{batch.completed:,} of {requests} answered"]
    parts += [f"{batch.failed:,} failed"] if batch.failed else []
    ends_ms = batch.expires_at_ms
    if ends_ms is not None and ends_ms > now_ms:
        parts.append(f"expires in {duration_text((ends_ms - now_ms) / 1000)}")
    elif ends_ms is not None and not is_running:
        parts.append("has ended or expired since")
    name = f" {batch.name}" if batch.name else ""
    seen = "" if is_running else " when last looked at"
    return f"{batch.number}{name} {batch.status.replace('_', ' ')}{seen}: {', '.join(parts)}"


_WITHOUT_COUNTS = {
    "writing": "being written",
    "uploading": "uploading: {}",
    "not_sent": "not sent: {}",
    "not_known": "perhaps created, as the run ended just then: {}; the same command looks for it",
}
"""Status of a batch of which the provider reports nothing yet → text."""
