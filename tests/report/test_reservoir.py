"""A random sample of a stream."""

import pyarrow as pa

from batchrun.report.reservoir import Reservoir


def kept(count: int, most: int, batch: int = 1_000) -> list[int]:
    """Return the sample of the first natural numbers."""
    reservoir = Reservoir(most)
    for start in range(0, count, batch):
        reservoir.add(pa.array(range(start, min(count, start + batch)), pa.int64()))
    return reservoir.kept


def test_of_few_numbers_all_are_kept() -> None:
    assert kept(7, 10) == list(range(7))
    assert kept(10, 10) == list(range(10))


def test_of_many_numbers_a_sample_is_kept_that_covers_the_stream_evenly() -> None:
    """Each number is as likely as every other: a mean of 500 in 100,000 lies within four standard deviations."""
    sample = kept(100_000, 500)
    assert len(set(sample)) == 500
    assert abs(sum(sample) / 500 - 50_000) < 4 * 100_000 / 12**0.5 / 500**0.5
    tenths = [sum(number // 10_000 == tenth for number in sample) for tenth in range(10)]
    assert min(tenths) > 20


def test_the_sample_does_not_depend_on_batches() -> None:
    """A second report shows the same rows."""
    assert kept(50_000, 100, batch=7) == kept(50_000, 100, batch=50_000)
