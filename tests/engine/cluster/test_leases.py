"""Every row is leased to one worker at a time, those of a bundle too."""

from harness.runs import requests

from batchrun.engine.cluster.leases import Leases
from batchrun.records import Request


def bundled(members: list[Request]) -> Request:
    """Return the bundle of some requests."""
    return members[0]._replace(body=b"all", members=tuple(members))


def test_each_row_of_a_bundle_is_settled_by_its_own_outcome() -> None:
    """The bundle has none."""
    rows, leases = requests(4), Leases()
    leases.join(0)
    leases.extend([bundled(rows)])
    leases.is_fed = True
    assert leases.take(0, 1, 1_000) == [bundled(rows)]
    assert (leases.waiting, leases.leased) == (0, 4)
    for number, row in enumerate(rows):
        assert not leases.is_settled
        assert leases.settle(0, [leases.id_of(row)]) == []
        assert leases.leased == 3 - number
    assert leases.is_settled
    assert leases.dropped == 0


def test_rows_of_a_bundle_that_a_dead_worker_had_come_back_one_by_one() -> None:
    """Those that were settled do not; they come before all others, in order."""
    rows, leases = requests(5), Leases()
    for worker in range(2):
        leases.join(worker)
    leases.extend([bundled(rows[:4]), rows[4]])
    leases.take(0, 1, 1_000)
    leases.settle(0, [leases.id_of(rows[1])])
    leases.leave(0)
    assert leases.put_back == 3
    assert leases.take(1, 10, 1_000) == [rows[0], rows[2], rows[3], rows[4]]


def test_an_outcome_of_a_row_that_another_worker_has_is_dropped() -> None:
    """It comes too late, from before."""
    (row,), leases = requests(1), Leases()
    for worker in range(2):
        leases.join(worker)
    leases.extend([row])
    leases.take(0, 1, 1_000)
    leases.leave(0)
    leases.join(0)
    leases.take(1, 1, 1_000)
    number = leases.id_of(row)
    assert leases.settle(0, [number]) == [number]
    assert leases.settle(1, [number]) == []
    assert leases.dropped == 1


def test_no_row_is_waited_for_whose_fallback_is_closed() -> None:
    """A worker may leave it open, and reports none of these. Rows of other models are waited for."""
    leases = Leases()
    leases.fallbacks = {"small": "large"}
    leases.extend(Request(row, model, 0, b"", b"{}", None) for row in range(2) for model in ("small", "other"))
    leases.join(0)
    assert len(leases.take(0, 2, 1_000)) == 2
    leases.close("large")
    assert leases.count(0) == 1
    assert [request.model for request in leases.take(0, 2, 1_000)] == ["small", "other"]
    assert (leases.count(0), leases.leased) == (2, 4)
    leases.leave(0)
    assert leases.put_back == 4  # a model answers, whose fallback does not


def test_the_size_of_what_waits_follows_every_change() -> None:
    """Rows are read, leased, put back, and dropped with their model."""
    leases = Leases()
    leases.join(0)
    leases.extend(Request(row, "ab"[row % 2], 0, b"", bytes(10 + row), None) for row in range(4))
    assert leases.waiting_bytes == 46
    leases.take(0, 2, 1_000)
    assert leases.waiting_bytes == 25
    leases.leave(0)
    assert leases.waiting_bytes == 46
    leases.close("b")
    assert leases.waiting_bytes == 22
