"""The requests of a model that any endpoint may send."""

from harness.runs import requests
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.shared_queue import SharedQueue


def rows(works: list[Work | None]) -> list[int | None]:
    return [work and work.request.row for work in works]


def test_fresh_requests_come_in_order() -> None:
    """The request that was read first is sent first."""
    queue = SharedQueue("m", 5)
    queue.extend(requests(2))
    queue.extend(requests(1))
    assert rows([queue.take() for _ in range(4)]) == [0, 1, 0, None]
    assert len(queue) == 0


def test_what_an_endpoint_passes_on_comes_before_fresh_requests() -> None:
    """In the order in which it was passed on; the last request is a fresh one, as long as there is one."""
    queue = SharedQueue("m", 5)
    queue.extend(requests(3))
    for request in requests(9)[7:]:
        queue.pass_on(Work(request, 5))
    assert (len(queue), queue.waiting) == (5, 2)
    assert rows([queue.take_last(), queue.take(), queue.take(), queue.take(), queue.take()]) == [2, 7, 8, 0, 1]
    assert queue.take_last() is None


def test_a_queue_that_is_closed_takes_nothing() -> None:
    """Its requests stay open."""
    queue = SharedQueue("m", 5)
    queue.extend(requests(2))
    queue.close()
    queue.extend(requests(2))
    assert (len(queue), queue.size_bytes, queue.take()) == (0, 0, None)


@given(st.lists(st.tuples(st.sampled_from(["extend", "pass on", "take", "last"]), st.integers(0, 5))))
def test_a_queue_knows_how_much_memory_its_requests_take(steps: list[tuple[str, int]]) -> None:
    """Whatever happens to them."""
    queue = SharedQueue("m", 5)
    size_bytes = 0
    for step, size in steps:
        sized = [request._replace(body=bytes(size)) for request in requests(2)]
        if step == "extend":
            queue.extend(sized)
            size_bytes += 2 * size
        elif step == "pass on":
            queue.pass_on(Work(sized[0], 5))
            size_bytes += size
        else:
            taken = queue.take() if step == "take" else queue.take_last()
            size_bytes -= taken.size_bytes if taken else 0
        assert queue.size_bytes == size_bytes
