"""The outcome of a row that cannot become a request."""

from batchrun.records import BadRow, Outcome, Usage

_NO_USAGE = Usage()


def outcome_of(bad: BadRow, now_ms: int) -> Outcome:
    """Return how a broken row ends: nothing is sent for it.

    Args:
        bad: the row.
        now_ms: Unix time.
    """
    return Outcome(
        bad.row,
        bad.model,
        bad.sample,
        bad.key,
        bad.custom_id,
        "bad_row",
        bad.message,
        None,
        0,
        None,
        now_ms,
        None,
        _NO_USAGE,
    )
