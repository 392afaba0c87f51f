"""What is shown of batches: those under way, and what became of the others."""

import pytest

from batchrun.checkpoint.batch_tables import (
    COLLECTED,
    CREATED,
    CREATING,
    FAILED,
    GIVEN_UP,
    GONE,
    UPLOADED,
    WAITING,
    WRITTEN,
    BatchRow,
)
from batchrun.endpoint.pool.budget import Amount
from batchrun.results.batches import batch_figures, batches_entry, cost_with, figures_in

ROW = BatchRow(1, "m", "chat", CREATED, 40, 0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("step", "status", "running", "stopped"),
    [
        (WRITTEN, None, "uploading", "not_sent"),
        (UPLOADED, None, "uploading", "not_sent"),
        (UPLOADED, WAITING, "waiting", "not_sent"),
        (CREATING, None, "uploading", "not_known"),
        (CREATED, "in_progress", "in_progress", "in_progress"),
        (CREATED, None, "created", "created"),
        (COLLECTED, "expired", "collected", "collected"),
    ],
)
def test_a_batch_is_shown_as_far_as_it_is_known(step: str, status: str | None, running: str, stopped: str) -> None:
    row = ROW._replace(step=step, status=status)
    assert batch_figures(row, is_running=True).status == running
    assert batch_figures(row, is_running=False).status == stopped


def test_batches_that_brought_nothing_are_not_counted_as_collected() -> None:
    """Those that were never sent, because they were cancelled before, count nowhere."""
    ends = ["completed", "cancelled", FAILED, GONE, GIVEN_UP, None]
    rows = [ROW._replace(id=number, step=COLLECTED, status=status) for number, status in enumerate(ends)]
    entry = batches_entry([batch_figures(row, is_running=False) for row in rows], Amount())
    assert entry is not None
    counts = {name: entry[name] for name in ("collected", "not_taken", "gone", "given_up")}
    assert counts == {"collected": 2, "not_taken": 1, "gone": 1, "given_up": 1}
    assert entry["open"] == []


def test_what_batches_under_way_cost_is_not_known_yet() -> None:
    """Without a price, nothing is: 0 would be wrong."""
    under_way = batches_entry([batch_figures(ROW._replace(name="b"), is_running=False)], Amount())
    unsent = batches_entry([batch_figures(ROW._replace(step=WRITTEN), is_running=False)], Amount())
    for batches in (None, unsent):
        assert cost_with(batches, "0 USD", is_unknown=True) == "0 USD"
    assert cost_with(under_way, "0 USD", is_unknown=True) == "no price known"
    assert cost_with(under_way, "0 USD", is_unknown=False) == "0 USD, without that of batches under way"


def test_open_batches_are_read_again_as_they_were_written() -> None:
    """An older run.json names no models."""
    figures = batch_figures(ROW._replace(name="b", status="in_progress", expires_at_ms=90_000), is_running=True)
    entry = batches_entry([figures], Amount())
    assert entry is not None
    assert figures_in(entry) == [figures]
    del entry["open"][0]["model"]
    assert figures_in(entry) == [figures._replace(model="")]
