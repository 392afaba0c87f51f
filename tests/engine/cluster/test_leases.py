"""Every row is leased to one worker at a time, those of a bundle too."""

from harness.runs import requests

from batchrun.endpoint.pool.elsewhere import Left
from batchrun.engine.cluster.leases import Leases
from batchrun.prompts.bundles import joined
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


def test_a_bundle_that_a_dead_worker_had_comes_back_as_one() -> None:
    """It comes before all others. Its rows would be as many requests, which a rate and a limit let through slowly."""
    rows, leases = requests(5), Leases()
    for worker in range(2):
        leases.join(worker)
    leases.extend([bundled(rows[:4]), rows[4]])
    leases.take(0, 1, 1_000)
    leases.leave(0)
    assert leases.put_back == 4
    assert leases.waiting_bytes == len(b"all") + len(rows[4].body)
    assert leases.take(1, 10, 1_000) == [bundled(rows[:4]), rows[4]]
    assert leases.leased == 5


def test_rows_of_a_bundle_that_are_settled_do_not_come_back_with_it() -> None:
    """The others travel together, or one alone, as they would have without these."""
    rows = [row._replace(body=b'{"model":"m"}') for row in requests(5)]
    for settled in ([1], [0, 2, 3]):
        leases = Leases()
        for worker in range(2):
            leases.join(worker)
        leases.extend([bundled(rows[:4]), rows[4]])
        leases.take(0, 1, 1_000)
        leases.settle(0, [leases.id_of(rows[number]) for number in settled])
        leases.leave(0)
        left = [row for number, row in enumerate(rows[:4]) if number not in settled]
        assert leases.put_back == len(left)
        assert leases.take(1, 10, 1_000) == [joined(left), rows[4]]


def test_a_row_of_a_bundle_that_a_worker_cannot_send_comes_back_alone() -> None:
    """The rest of the bundle stays with the worker."""
    rows, leases = requests(3), Leases()
    leases.join(0)
    leases.extend([bundled(rows)])
    leases.take(0, 1, 1_000)
    leases.hand_back(0, Left(rows[1].row, rows[1].model, rows[1].sample, danger=None))
    assert (leases.waiting, leases.leased) == (1, 2)
    assert leases.take(0, 1, 1_000) == [rows[1]]


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
