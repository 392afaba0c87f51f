"""A run can be killed at any time. This is the short test; `make crash` is the long one."""

from pathlib import Path
from random import Random

import pytest
from harness.audits import GRACE_S
from harness.crashes import PHASES, Job
from harness.ledger import serving

from batchrun.simulator import Settings

IN_FLIGHT = 8


@pytest.mark.slow
def test_after_kills_in_every_phase_only_requests_in_flight_are_sent_again(tmp_path: Path) -> None:
    """The endpoint counts. `make crash` allows 50 ms; here it is 500 ms, because tests compete for the cores."""
    with serving(Settings(latency_s=0.02, concurrency_limit=None)) as (base_url, ledger):
        job = Job(tmp_path / "job", base_url, ledger, rows=200, in_flight=IN_FLIGHT, random=Random(1), longest_s=0.2)
        for phase in (*PHASES, *PHASES):
            job.run(phase)
        job.inspect()
        while not job.run():
            pass
        audit = job.audit()
    assert (audit.lost, audit.doubled, audit.wrong, audit.breaches) == (0, 0, 0, [])
    assert len(audit.kills) >= 4
    assert sum(ending.bought_again for ending in audit.kills) > 0
    assert audit.bought == audit.rows + sum(ending.bought_again for ending in audit.kills)
    assert all(ending.oldest_s <= 10 * GRACE_S for ending in audit.kills)
    assert all(ending.bought_again <= 4 * IN_FLIGHT for ending in audit.kills)
