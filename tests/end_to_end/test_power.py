"""The power may go at any time: of what a disk may hold then, no answer is lost that was older than a second.

This is the short test; `make power` is the long one. Needs a C compiler, which makes the recorder of what is written.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from harness.ledger import serving
from harness.power.commands import Cuts
from harness.power.cuts import LOST_S, PowerJob, can_record, recorder

from batchrun.simulator import Settings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not can_record(), reason="nothing can record what is written here")]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorder."""
    return recorder(tmp_path_factory.mktemp("recorder"))


def test_after_power_cuts_only_the_last_second_is_sent_again(tmp_path: Path, library: Path) -> None:
    """Results are whole, and every run resumes. Ten times as much is allowed as `make power` does: tests compete."""
    with serving(Settings(latency_s=0.05, concurrency_limit=None)) as (base_url, ledger):
        settings = {"rows": 150, "in_flight": 8, "longest_s": 0.3}
        job = PowerJob(tmp_path / "job", base_url, ledger, random=Random(2), library=library, **settings)
        for phase in ("running", "exporting", "running"):
            job.run(phase)
        job.inspect()
        while not job.run():
            pass
        audit = job.audit()
    assert (audit.lost, audit.doubled, audit.wrong, audit.breaches) == (0, 0, 0, [])
    assert len(audit.kills) >= 2
    assert all(ending.oldest_s <= 10 * LOST_S for ending in audit.kills)
    assert job.check_record() == []  # the recorder has missed nothing


@pytest.mark.parametrize(
    "command", [Cuts.export, Cuts.upload, Cuts.salvage, Cuts.frame], ids=lambda call: call.__name__
)
def test_a_command_that_is_cut_off_leaves_whole_files(
    tmp_path: Path, library: Path, command: Callable[[Cuts], None]
) -> None:
    """Results are the old or the new ones; a damaged checkpoint is in place, or kept."""
    cuts = Cuts(tmp_path / "cuts", library, Random(3), 3 if command is Cuts.frame else 8)
    command(cuts)
    assert cuts.breaches == []
