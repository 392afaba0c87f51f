"""The requests that wait to be sent again."""

from harness.runs import requests
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.pool.backlog import Backlog, Work
from batchrun.endpoint.pool.verdicts import ATTEMPT, Verdict
from batchrun.records import Fault, Usage


def works(count: int) -> list[Work]:
    return [Work(request, 5) for request in requests(count)]


@given(st.lists(st.floats(0, 100), max_size=30))
def test_requests_come_when_they_are_due_and_not_before(due: list[float]) -> None:
    """They come in the order of their times, whatever the order in which they were added."""
    backlog = Backlog()
    for work, due_s in zip(works(len(due)), due, strict=True):
        work.sent_s = due_s
        backlog.put(work, due_s)
    taken = []
    for now_s in sorted(due):
        assert backlog.due_s is not None
        assert backlog.due_s <= now_s
        work = backlog.take_due(now_s)
        assert work is not None
        taken.append(work.sent_s)
    assert taken == sorted(due)
    assert backlog.due_s is None


def test_a_request_that_was_given_back_unsent_is_not_one_to_be_sent_again() -> None:
    """However it leaves."""
    backlog = Backlog()
    first, second, third, sent = works(4)
    sent.attempts = 1
    for work in (first, second, third, sent):
        backlog.put(work, 1.0)
    assert (backlog.waiting, backlog.fresh) == (4, 3)
    assert backlog.take_due(1.0) is first
    assert backlog.take_where(lambda each: each is second) is second
    assert (backlog.waiting, backlog.fresh) == (2, 1)
    assert backlog.take_each(lambda each: each is third) == [third]
    assert (backlog.waiting, backlog.fresh) == (1, 0)
    backlog.put(third, 1.0)
    backlog.take_all()
    assert (backlog.waiting, backlog.fresh) == (0, 0)


def test_of_two_requests_that_are_due_at_once_the_first_added_comes_first() -> None:
    """Requests cannot be compared, and ties keep their order."""
    backlog = Backlog()
    first, second = works(2)
    backlog.put(first, 1.0)
    backlog.put(second, 1.0)
    assert backlog.take_due(0.999) is None
    assert [backlog.take_due(1.0), backlog.take_due(1.0)] == [first, second]


def test_a_request_that_fits_is_taken_whether_due_or_not_and_the_rest_stay_in_order() -> None:
    """A probe is taken out of turn."""
    backlog = Backlog()
    all_works = works(6)
    for due_s, work in enumerate(all_works):
        backlog.put(work, float(due_s))
    assert backlog.take_where(lambda work: work.request.row == 3) is all_works[3]
    assert backlog.take_where(lambda work: work.request.row == 3) is None
    rest = [backlog.take_due(9.0) for _ in range(5)]
    assert [work and work.request.row for work in rest] == [0, 1, 2, 4, 5]


def test_a_parked_request_is_never_due_and_is_seen_first() -> None:
    """A request that is held back is removed only by name."""
    backlog = Backlog()
    parked, waiting = works(2)
    backlog.put(waiting, 0.0)
    backlog.park(parked)
    assert list(backlog) == [parked, waiting]
    assert (backlog.parked, backlog.again) == (1, 1)
    assert backlog.take_where(lambda work: work is parked) is None
    assert backlog.take_due(9.0) is waiting
    assert backlog.take_due(9.0) is None
    assert not backlog.unpark(waiting)
    assert backlog.unpark(parked)
    assert not backlog.unpark(parked)


def test_a_work_knows_its_last_failure() -> None:
    """Before the first it has neither kind nor message; it may spend as many attempts as the user allows."""
    work = works(1)[0]
    assert (work.kind, work.message) == ("", "")
    work.failure = (Fault("timeout", "silence", 1.0), Verdict("timeout", "silence", Usage()))
    assert (work.kind, work.message) == ("timeout", "silence")
    assert work.allowed == 5 * ATTEMPT


@given(st.lists(st.tuples(st.sampled_from(["new", "put", "due", "where", "any", "park", "unpark"]), st.integers(0, 5))))
def test_a_backlog_knows_how_much_memory_its_requests_take(steps: list[tuple[str, int]]) -> None:
    """Whatever happens to them."""
    backlog = Backlog()
    held: list[Work] = []
    parked: list[Work] = []
    for step, size in steps:
        if step == "new":
            held += [Work(request._replace(body=bytes(size)), 5) for request in requests(2)]
        elif step in ("due", "where"):
            taken = {
                "due": lambda size=size: backlog.take_due(size),
                "where": lambda size=size: backlog.take_where(lambda each: each.size_bytes == size),
            }[step]()
            held += [taken] if taken else []
        elif step == "any":
            is_any = bool(backlog.again or backlog.parked)
            taken = backlog.take_any()
            assert (taken is not None) == is_any
            parked = [work for work in parked if work is not taken]
            held += [taken] if taken else []
        elif step == "unpark" and parked:
            work = parked.pop()
            assert backlog.unpark(work)
            assert not backlog.unpark(work)
            held.append(work)
        elif step == "put" and held:
            backlog.put(held.pop(), size)
        elif step == "park" and held:
            parked.append(held.pop())
            backlog.park(parked[-1])
        assert backlog.kept_bytes == sum(work.size_bytes for work in backlog)
