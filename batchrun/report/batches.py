"""The batches of a run, in words and as a table. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

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
        of_requests = "" if batch.status == "writing" else f": {requests}"
        hint = "; the same command looks for it" if batch.status == "not_known" else ""
        return f"{batch.number} {_state_text(batch)}{of_requests}{hint}"
    parts = [f"{batch.completed:,} of {requests} answered"]
    parts += [f"{batch.failed:,} failed"] if batch.failed else []
    if left := _left_text(batch, now_ms, is_running=is_running):
        parts.append(left if left == _OVER else f"expires in {left}")
    name = f" {batch.name}" if batch.name else ""
    seen = "" if is_running else " when last looked at"
    return f"{batch.number}{name} {_state_text(batch)}{seen}: {', '.join(parts)}"


def ended_texts(ended: Mapping[str, int]) -> list[str]:
    """Return what became of the batches that have ended, a text for each end.

    Args:
        ended: how many came to each end, as `Summary.batches` counts them.
    """
    return [f"{counted(ended[name], 'batch', 'batches')} {what}" for name, what in _ENDS.items() if ended[name]]


class BatchTable(NamedTuple):
    """The batches of a run that are not collected, as a table, and the others in words."""

    rows: Sequence[Mapping[str, str]]
    """One for each batch: head of the column → text. All have the same columns."""
    note: str
    """Sentences on the batches that have no row, and on when the others were looked at."""


def batch_table(
    batches: Sequence[BatchFigures],
    ended: Sequence[str],
    now_ms: int,
    time_text: Callable[[int], str],
    *,
    is_running: bool,
) -> BatchTable:
    """Return a table of at most 100 batches.

    Args:
        batches: that are not collected, at least one.
        ended: what became of the others: see `ended_texts`.
        now_ms: Unix time.
        time_text: returns a Unix time in ms as a text.
        is_running: whether a process looks after them; else they are shown as they were seen last.
    """
    more = [f"{counted(len(batches) - _MOST_ROWS, 'more batch', 'more batches')} not collected"]
    texts = [*(more if len(batches) > _MOST_ROWS else []), *ended]
    note = f"Also {', '.join(texts)}. " if texts else ""
    if not is_running:
        note += (
            "No command looks after these now: states and counts are as last seen, and the same command collects them. "
        )
    rows = [_cells(each, now_ms, time_text, is_running=is_running) for each in batches[:_MOST_ROWS]]
    return BatchTable(rows, f"{note}Time left as of {time_text(now_ms)}.")


def _cells(batch: BatchFigures, now_ms: int, time_text: Callable[[int], str], *, is_running: bool) -> Mapping[str, str]:
    is_counted = batch.status not in _WITHOUT_COUNTS
    return {
        "batch": f"{batch.number} {batch.name}".strip(),
        "model": batch.model,
        "state": _state_text(batch),
        "requests": f"{batch.requests:,}",
        "answered": f"{batch.completed:,}" if is_counted else _NONE,
        "failed": f"{batch.failed:,}" if is_counted else _NONE,
        "expires": _NONE if batch.expires_at_ms is None else time_text(batch.expires_at_ms),
        "time left": _left_text(batch, now_ms, is_running=is_running) or _NONE,
    }


def _state_text(batch: BatchFigures) -> str:
    return _WITHOUT_COUNTS.get(batch.status) or batch.status.replace("_", " ")


def _left_text(batch: BatchFigures, now_ms: int, *, is_running: bool) -> str:
    """Return how long until a batch expires; empty where that is not known."""
    ends_ms = batch.expires_at_ms
    if ends_ms is None:
        return ""
    if ends_ms > now_ms:
        return duration_text((ends_ms - now_ms) / 1000)
    return "" if is_running else _OVER


_OVER = "has ended or expired since"

_NONE = "–"

_MOST_ROWS = 100
"""Most batches in the table, so that the page stays small."""

_ENDS = {
    "collected": "collected",
    "not_taken": "not taken by the provider",
    "gone": "gone at the provider, and not collected",
    "given_up": "given up, which another key has created",
}
"""What became of batches, as `Summary.batches` counts them, in words."""


_WITHOUT_COUNTS = {
    "writing": "being written",
    "uploading": "uploading",
    "waiting": "waiting for room in the provider's queue",
    "not_sent": "not sent",
    "not_known": "perhaps created, as the run ended just then",
}
"""Status of a batch of which the provider reports nothing yet → text."""
