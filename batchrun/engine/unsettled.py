"""The requests of a run that are not settled, in the order in which they are sent."""

from collections.abc import Callable, Iterator

from batchrun.checkpoint.store import Store
from batchrun.job.sections import Job
from batchrun.prompts.order import by_prefix, in_random_order
from batchrun.prompts.sample import Part, key_of, rank
from batchrun.prompts.source import Entry, Source


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

    if job.input.order == "random":
        return in_random_order(map(fresh, source.parts()), _place(job.input.sample_seed))
    return by_prefix(fresh()) if job.input.order == "prefix" else fresh()


def _place(seed: int) -> Callable[[int], int]:
    key = key_of("order", seed)
    return lambda row: rank(row, key)
