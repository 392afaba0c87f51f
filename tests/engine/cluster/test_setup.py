"""What workers need: their parts of the rates."""

from math import inf

import pytest

from batchrun.engine.cluster.setup import most_workers, split_rates
from batchrun.job.limits import Limits
from batchrun.job.sections import Endpoint, Input, Job


def job(limits: Limits, **rates: int) -> Job:
    """Return a job with rates of all endpoints together, and with those of its own."""
    return Job(input=Input(path=("a",)), limits=limits, endpoint=Endpoint(**rates))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "most"),
    [
        (job(Limits()), inf),
        (job(Limits(requests_per_minute=600)), 4),
        (job(Limits(requests_per_minute=3, tokens_per_minute=90_000)), 3),
        (job(Limits(), requests_per_minute=2), 2),
    ],
)
def test_workers_together_never_have_more_than_the_rates(made: Job, most: float) -> None:
    """Whatever joins later, and also where there are fewer requests a minute than workers."""
    assert most_workers(made, 4) == most
    workers = int(min(4, most))
    part = split_rates(made, workers)
    for whole, its in ((made.limits, part.limits), (made.endpoint, part.endpoint)):
        if whole.requests_per_minute is not None:
            assert its.requests_per_minute is not None
            assert its.requests_per_minute * workers <= whole.requests_per_minute
