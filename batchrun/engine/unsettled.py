"""The requests of a run that are not settled, in the order in which they are sent."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from batchrun.checkpoint.store import Store
from batchrun.job.sections import Job
from batchrun.prompts.order import by_prefix, in_random_order
from batchrun.prompts.packing import Packing
from batchrun.prompts.sample import Part, key_of, rank
from batchrun.prompts.source import Entry, Source
from batchrun.records import BadRow, PackedRow, Request, summed

E = TypeVar("E", bound=Request | BadRow | PackedRow)


def is_all_settled(job: Job, source: Source, store: Store, *, fits: bool) -> bool:
    """Return whether nothing is left, as a whole pass over the input has shown before.

    Args:
        job: that is run.
        source: its input, open.
        store: the checkpoint, fitted to the job.
        fits: whether settled rows are known to fit the input.
    """
    rows, settled = source.input_rows, summed(store.totals.values()).requests
    is_known = fits and store.history.was_completed and rows is not None and rows.is_exact
    return is_known and rows is not None and settled == rows.rows * job.per_row


def unsettled(job: Job, source: Source, store: Store, *, fits: bool) -> Iterator[list[Entry]]:
    """Yield what is to be sent, and broken rows.

    Args:
        job: that is run.
        source: its input, open.
        store: the checkpoint, fitted to the job.
        fits: whether settled rows are known to fit the input, so that they need not be read.
    """
    first, settled = (store.settled_rows, store.settled) if fits else (0, None)

    def fresh(part: Part | None = None) -> Iterator[list[Entry]]:
        return (store.unsettled(batch) for batch in source.batches(first, settled, part))

    return by_prefix(fresh()) if job.input.order == "prefix" else _in_order(job, source, fresh)


def unsettled_packed(job: Job, source: Source, store: Store, *, fits: bool) -> Iterator[list[Entry | PackedRow]]:
    """Yield the same packed, for workers that make the requests; see `can_pack`.

    Rows that an earlier execution may have settled in part are compared with what it has settled, so their requests are
    made here.
    """
    first, settled = (store.settled_rows, store.settled) if fits else (0, None)
    packing = Packing(job, source.rendering)
    for model in job.models:
        store.model_id(model)  # before its outcomes come

    def fresh(part: Part | None = None) -> Iterator[list[Entry | PackedRow]]:
        for rows in source.rows(first, settled, part):
            if not rows or store.may_have(rows[0].number):
                for batch in source.rendering.batches(rows):
                    yield [*store.unsettled(batch)]
            else:
                yield packing.entries(rows)

    return _in_order(job, source, fresh)


def _in_order(job: Job, source: Source, fresh: Callable[..., Iterator[list[E]]]) -> Iterator[list[E]]:
    if job.input.order == "random":
        return in_random_order(map(fresh, source.parts()), _place(job.input.sample_seed))
    return fresh()


def _place(seed: int) -> Callable[[int], int]:
    key = key_of("order", seed)
    return lambda row: rank(row, key)
