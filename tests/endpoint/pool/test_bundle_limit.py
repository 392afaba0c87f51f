"""What a model gives to one request is learned from answers, not from words."""

import pytest

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.bundle_limit import BundleLimit
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.records import Event, Fault, Narrowed, Reply, Request, RequestKind, Usage

NO_USAGE = Usage()


def work(count: int, model: str = "m", kind: RequestKind = "chat") -> Work:
    members = tuple(Request(0, model, each, b"", b"{}", None, kind) for each in range(count))
    return Work(members[0]._replace(members=members if count > 1 else ()), 5)


def broken(count: int, kind: str = "server_error") -> Work:
    sent = work(count)
    fault = Fault(kind, "silent", 1.0) if kind == "timeout" else Reply(500, {}, b"", 0.1)
    sent.failure = (fault, Verdict(kind, "oops", NO_USAGE))
    return sent


def test_it_learns_of_each_model_apart() -> None:
    events: list[Event] = []
    limit = BundleLimit(events.append, "east")
    limit.answered(work(4, "m"), 1)
    limit.answered(work(4, "n"), 4)
    assert limit.most(work(4, "m").request) == 1
    assert limit.most(work(4, "n").request) is None
    assert events == [Narrowed("m", 4, 1, "", "east")]


def test_a_lower_number_is_reported_and_a_higher_one_is_not() -> None:
    """What was in flight meanwhile may still have more."""
    events: list[Event] = []
    limit = BundleLimit(events.append, "")
    for given in (3, 1, 2):
        limit.answered(work(4), given)
    assert [event.most for event in events if isinstance(event, Narrowed)] == [3, 1]
    assert limit.most(work(4).request) == 1


@pytest.mark.parametrize("kind", ["content_filter", "context_length", "too_large"])
def test_a_reason_that_the_row_has_itself_is_not_n(kind: str) -> None:
    """A single sample may be answered anyway."""
    events: list[Event] = []
    limit, sent = BundleLimit(events.append, ""), work(4)
    limit.failed(sent, Verdict(kind, "too long", NO_USAGE))
    single = work(1)
    single.refused_n = sent.refused_n
    limit.answered(single, 1)
    assert not events


def halves(whole: Work, message: str, limit: BundleLimit) -> tuple[Work, Work]:
    """Return the halves of a bundle of rows that has failed."""
    size = len(whole.request.members)
    made = work((size + 1) // 2, kind="embeddings"), work(size // 2, kind="embeddings")
    limit.failed(whole, Verdict("bad_request", message, NO_USAGE))
    limit.halved(whole, made, message)
    return made


def test_a_bundle_whose_halves_are_both_answered_had_too_many_rows() -> None:
    events: list[Event] = []
    limit, sent = BundleLimit(events.append, "east"), work(5, kind="embeddings")
    first, second = halves(sent, "at most 3", limit)
    assert limit.has_failed
    limit.answered(first, 3)
    assert not events
    limit.answered(second, 2)
    assert events == [Narrowed("m", 5, 3, "at most 3", "east", are_rows=True)]
    assert limit.most(sent.request) == 3
    assert limit.most(work(5).request) is None  # samples are not rows


def test_a_bundle_with_a_bad_row_shows_nothing() -> None:
    """At each step down to the row alone one half is refused too."""
    limit, bad = BundleLimit(lambda event: pytest.fail("reported"), ""), work(64, kind="embeddings")
    while bad.request.members:
        good, bad = halves(bad, "bad", limit)
        limit.answered(good, len(good.request.members) or 1)
    assert limit.most(work(64, kind="embeddings").request) is None


def test_a_half_with_a_row_that_has_no_vector_shows_nothing() -> None:
    limit, sent = BundleLimit(lambda event: pytest.fail("reported"), ""), work(8, kind="embeddings")
    first, second = halves(sent, "bad", limit)
    limit.answered(first, 4)
    limit.answered(second, 3)
    assert limit.most(sent.request) is None


def test_halves_that_another_endpoint_answers_show_nothing() -> None:
    """Neither of it nor of the one that refused the bundle."""
    fails = lambda event: pytest.fail("reported")  # noqa: E731
    limit, other = BundleLimit(fails, "east"), BundleLimit(fails, "west")
    first, second = halves(work(8, kind="embeddings"), "at most 4", limit)
    limit.answered(first, 4)
    other.answered(second, 4)


def test_a_model_that_has_answered_as_many_rows_is_sent_as_many() -> None:
    """Also if it did while the halves were under way."""
    limit, sent = BundleLimit(lambda event: pytest.fail("reported"), ""), work(8, kind="embeddings")
    first, second = halves(sent, "bad luck", limit)
    limit.answered(first, 4)
    limit.answered(work(8, kind="embeddings"), 8)
    limit.answered(second, 4)
    assert limit.most(sent.request) is None


@pytest.mark.parametrize(("rounds", "kind", "is_narrowed"), [(3, "server_error", False), (4, "server_error", True)])
def test_a_server_that_breaks_again_and_again_breaks_at_n(rounds: int, kind: str, is_narrowed: bool) -> None:
    """If others are answered each time between, however many requests break in each round."""
    events: list[Event] = []
    limit = BundleLimit(events.append, "")
    for _ in range(rounds):
        for _ in range(10):
            limit.broke(broken(8, kind))
        limit.answered(work(1), 1)
    assert events == [Narrowed("m", 8, 1, "oops")] * is_narrowed


@pytest.mark.parametrize(("count", "kind"), [(1, "server_error"), (8, "timeout"), (8, "throttled")])
def test_other_failures_say_nothing_about_n(count: int, kind: str) -> None:
    limit = BundleLimit(lambda event: pytest.fail("reported"), "")
    for _ in range(10):
        limit.broke(broken(count, kind))
        limit.answered(work(1), 1)
