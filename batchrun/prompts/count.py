"""How many rows a run has in all, and how many are left. Pure.

This is the only place that computes either number. Everything that shows one asks here: bar, log lines, time left,
messages, `watch`, W&B and the preview.
"""

from batchrun.records import RowCount


def input_rows(
    rows_read: int, fraction_read: float | None, *, is_complete: bool, limit: int | None = None
) -> RowCount | None:
    """Return how many input rows a run uses; None while nothing is known.

    Args:
        rows_read: input rows read so far, and used.
        fraction_read: their share of the input's bytes, 0 to 1; None when the input has no known end.
        is_complete: whether the last wanted row was read.
        limit: the most rows that are wanted (`--limit`).

    Returns:
        The exact number once all wanted rows were read. Before, a guess: the rows so far, divided by their share.
    """
    if is_complete:
        return RowCount(rows_read, is_exact=True)
    if not fraction_read or not rows_read:
        return None
    guess = max(rows_read, round(rows_read / fraction_read))
    return RowCount(guess if limit is None else min(guess, limit), is_exact=False)


def output_rows(inputs: RowCount | None, per_row: int, settled: int = 0) -> RowCount | None:
    """Return how many rows the results will have.

    Args:
        inputs: how many input rows there are.
        per_row: output rows of one input row: models × samples.
        settled: output rows that exist already. There are at least so many, whatever was guessed.
    """
    return None if inputs is None else inputs._replace(rows=max(inputs.rows * per_row, settled))


def rows_left(total: RowCount | None, settled: int) -> RowCount | None:
    """Return how many of all rows are not settled; None when the total is not known."""
    return None if total is None else total._replace(rows=max(0, total.rows - settled))


def left_s(total: RowCount | None, settled: int, rate_per_s: float | None, *, is_paused: bool) -> float | None:
    """Return how long the rows that are left take at this rate; None where this is not known, as in an outage."""
    left = rows_left(total, settled)
    if left is None or not left.rows or not rate_per_s or is_paused:
        return None
    return left.rows / rate_per_s
