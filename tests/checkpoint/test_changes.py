"""An edited job keeps every answer whose request it still asks."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness.checkpoints import answer, answers_in, failure, outcomes_in, requests, settle

from batchrun.checkpoint import facts
from batchrun.checkpoint.changes import Change, adapt, foresee, forget_failed, has_retired, settled_in
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.errors import InputError
from batchrun.records import BadRow, ModelTotals, Request


def adapted(directory: Path, *batches: Sequence[Request], agree: bool = True) -> Change:
    with Store(directory) as store:
        return adapt(store, batches, lambda change: agree)


@pytest.mark.parametrize(
    ("before", "after", "kept", "change"),
    [
        ("abc", "abc", {0: b"a", 1: b"b", 2: b"c"}, Change(3, 3, 0, 0, 0)),
        ("abc", "abcd", {0: b"a", 1: b"b", 2: b"c"}, Change(3, 3, 1, 0, 0)),
        ("abc", "xabc", {1: b"a", 2: b"b", 3: b"c"}, Change(3, 3, 1, 0, 0)),
        ("abc", "axbc", {0: b"a", 2: b"b", 3: b"c"}, Change(3, 3, 1, 0, 0)),
        ("abc", "bc", {0: b"b", 1: b"c"}, Change(3, 2, 0, 0, 1)),
        ("abc", "ab", {0: b"a", 1: b"b"}, Change(3, 2, 0, 0, 1)),
        ("abc", "cba", {0: b"c", 1: b"b", 2: b"a"}, Change(3, 3, 0, 0, 0)),
        ("abc", "aBc", {0: b"a", 2: b"c"}, Change(3, 2, 1, 1, 1)),
        ("abc", "xaBc", {1: b"a", 3: b"c"}, Change(3, 2, 2, 1, 1)),
        ("abc", "xyz", {}, Change(3, 0, 3, 3, 3)),
        ("aab", "aba", {0: b"a", 1: b"b", 2: b"a"}, Change(3, 3, 0, 0, 0)),
        ("aab", "abb", {0: b"a", 2: b"b"}, Change(3, 2, 1, 1, 1)),
        ("ab", "aabb", {0: b"a", 2: b"b"}, Change(2, 2, 2, 0, 0)),
        ("", "ab", {}, Change(0, 0, 2, 0, 0)),
    ],
    ids=[
        "the same", "appended", "inserted first", "inserted between", "first removed", "last removed", "reordered",
        "edited", "inserted and edited", "all new", "duplicates moved", "duplicate edited", "duplicated",
        "nothing settled",
    ],
)  # fmt: skip
def test_what_is_still_asked_keeps_its_answer(
    tmp_path: Path, before: str, after: str, kept: dict[int, bytes], change: Change
) -> None:
    """Wherever its row has moved; the change is counted as people would count it."""
    settle(tmp_path, [answer(each) for each in requests(*before)])
    foreseen = foresee(tmp_path, [requests(*after)])
    assert (foreseen.change, foreseen.settled) == (change, {"m": len(kept)} if kept else {})
    assert answers_in(tmp_path) == {row: letter.encode() for row, letter in enumerate(before)}
    assert adapted(tmp_path, requests(*after)) == change
    assert answers_in(tmp_path) == kept
    with Store(tmp_path) as store:
        assert [each.row for each in store.unsettled(requests(*after))] == sorted(set(range(len(after))) - kept.keys())
        assert store.totals.get("m", ModelTotals()).completed == len(kept)


def test_batches_are_taken_as_they_come(tmp_path: Path) -> None:
    """An answer may move from one batch to another."""
    settle(tmp_path, [answer(each) for each in requests(*"abcd")])
    change = adapted(tmp_path, requests("d", "c"), requests("b", first=2), requests("a", first=3))
    assert change == Change(4, 4, 0, 0, 0)
    assert answers_in(tmp_path) == {0: b"d", 1: b"c", 2: b"b", 3: b"a"}


def test_a_moved_answer_takes_the_label_of_its_new_row(tmp_path: Path) -> None:
    """And brings everything else along."""
    before = [answer(each, attempts=4, throttled=2, latency_s=9.5) for each in requests(*"ab")]
    settle(tmp_path, before)
    adapted(tmp_path, [each._replace(custom_id=f"new-{each.row}") for each in requests(*"ba")])
    first, second = outcomes_in(tmp_path)
    assert (first.custom_id, second.custom_id) == ("new-0", "new-1")
    assert first == before[1]._replace(row=0, custom_id="new-0", usage=first.usage)


def test_an_edit_that_is_undone_costs_nothing(tmp_path: Path) -> None:
    """What was paid for is kept out of the results, and comes back when it is asked again."""
    settle(tmp_path, [answer(each) for each in requests(*"abc")])
    adapted(tmp_path, requests(*"xyz"))
    settle(tmp_path, [answer(each) for each in requests(*"xyz")])
    assert adapted(tmp_path, requests(*"abc")) == Change(settled=3, kept=3, new=0, replaced=0, gone=3)
    assert answers_in(tmp_path) == {0: b"a", 1: b"b", 2: b"c"}
    assert adapted(tmp_path, requests(*"xbz")) == Change(settled=3, kept=3, new=0, replaced=0, gone=2)


def test_a_limit_that_shrinks_and_grows_again_buys_nothing(tmp_path: Path) -> None:
    """The rows beyond it only rest."""
    settle(tmp_path, [answer(each) for each in requests(*"abcd")])
    assert adapted(tmp_path, requests(*"ab")) == Change(4, 2, 0, 0, 2)
    with Store(tmp_path) as store:
        assert has_retired(store)
    assert adapted(tmp_path, requests(*"abcd")) == Change(2, 4, 0, 0, 0)
    with Store(tmp_path) as store:
        assert not has_retired(store)


def test_another_model_is_sent_everything_and_the_answers_of_the_old_one_are_kept(tmp_path: Path) -> None:
    """One whose key differs: the model is part of what is asked."""
    settle(tmp_path, [answer(each) for each in requests(*"ab")])
    other = [each._replace(model="n", key=each.key[::-1]) for each in requests(*"ab")]
    assert adapted(tmp_path, other) == Change(2, 0, 2, 2, 2)
    settle(tmp_path, [answer(each) for each in other])
    assert adapted(tmp_path, requests(*"ab")) == Change(2, 2, 0, 0, 2)
    assert [each.model for each in outcomes_in(tmp_path)] == ["m", "m"]


def test_what_was_paid_stays_in_the_totals(tmp_path: Path) -> None:
    """Rows leave the results; money does not come back."""
    settle(tmp_path, [answer(each) for each in requests(*"ab")])
    adapted(tmp_path, requests("a"))
    with Store(tmp_path) as store:
        assert store.totals["m"] == ModelTotals(1, 1, 0, 2, 0, 6, 4, 10, 2, 0, 0, frozenset({"reasoning_tokens"}))


def test_a_change_that_is_turned_down_changes_nothing(tmp_path: Path) -> None:
    """It is only counted."""
    outcomes = [answer(each) for each in requests(*"abc")]
    settle(tmp_path, outcomes)
    change = adapted(tmp_path, [*requests("x"), *requests("new", model="n", first=1)], agree=False)
    assert change == Change(settled=3, kept=0, new=2, replaced=2, gone=3)
    assert answers_in(tmp_path) == {0: b"a", 1: b"b", 2: b"c"}
    with Store(tmp_path) as store:
        assert store.totals["m"].completed == 3
        assert not has_retired(store)


def test_an_input_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    """The checkpoint can be used as it was."""
    settle(tmp_path, [answer(each) for each in requests(*"abc")])

    def breaking() -> object:
        yield requests("x")
        raise InputError("gone")

    with Store(tmp_path) as store:
        with pytest.raises(InputError):
            adapt(store, breaking(), lambda change: True)  # type: ignore[arg-type]
        assert store.unsettled(requests(*"abc")) == []
    assert answers_in(tmp_path) == {0: b"a", 1: b"b", 2: b"c"}


def test_failed_rows_are_sent_again_when_asked(tmp_path: Path) -> None:
    """Completed ones are not; the attempts made stay counted."""
    a, b, c = requests(*"abc")
    settle(tmp_path, [answer(a), failure(b), answer(c)])
    with Store(tmp_path) as store:
        assert forget_failed(store) == 1
        assert store.unsettled([a, b, c]) == [b]
        assert store.totals["m"] == ModelTotals(2, 2, 0, 3, 0, 6, 4, 10, 2, 0, 0, frozenset({"reasoning_tokens"}))
        assert forget_failed(store) == 0


def test_a_failure_moves_with_its_row(tmp_path: Path) -> None:
    """It is an outcome too; sending it again is for --retry-failed."""
    a, b = requests(*"ab")
    settle(tmp_path, [answer(a), failure(b)])
    assert adapted(tmp_path, requests(*"xab")) == Change(2, 2, 1, 0, 0)
    assert [(each.row, each.kind) for each in outcomes_in(tmp_path)] == [(1, None), (2, "bad_request")]


def test_a_failure_that_is_to_be_sent_again_does_not_come_back(tmp_path: Path) -> None:
    """Though the retry was interrupted and the job edited then."""
    a, b = requests(*"ab")
    settle(tmp_path, [answer(a), failure(b)])
    with Store(tmp_path) as store:
        forget_failed(store)
    assert adapted(tmp_path, requests(*"abc")) == Change(1, 1, 2, 0, 0)


def test_an_answer_is_preferred_to_a_failure_of_the_same_request(tmp_path: Path) -> None:
    """Where a row that was there twice is there once."""
    a, b = requests(*"aa")
    settle(tmp_path, [failure(a), answer(b)])
    adapted(tmp_path, requests("x", "y", "a"))
    assert [(each.row, each.kind) for each in outcomes_in(tmp_path)] == [(2, None)]


@pytest.mark.parametrize(("agree", "origin"), [(True, None), (False, {"job": "a", "input": "", "limit": None})])
def test_changed_outcomes_have_no_origin_until_it_is_noted_again(
    tmp_path: Path, agree: bool, origin: facts.Origin | None
) -> None:
    """A process that is killed in between must not leave answers of one job next to the origin of another."""
    settle(tmp_path, [answer(each) for each in requests(*"ab")])
    with Store(tmp_path) as store:
        store.set_fact(facts.ORIGIN, {"job": "a", "input": "", "limit": None})
    with Store(tmp_path) as store:
        adapt(store, [requests(*"xb")], lambda change: agree)
        with Checkpoint(tmp_path) as as_after_a_kill:
            assert as_after_a_kill.fact(facts.ORIGIN) == origin


@pytest.mark.parametrize("in_flight", [0, 2])
def test_outcomes_that_leave_are_not_taken_for_requests_in_flight(tmp_path: Path, in_flight: int) -> None:
    """Also when the run is refused after the change, so that nothing is sent."""
    settle(tmp_path, [answer(each) for each in requests(*"abcd")] + [failure(each) for each in requests("e", first=4)])
    with Store(tmp_path) as store:
        store.sending(in_flight)
    adapted(tmp_path, requests(*"abxxe"))
    with Store(tmp_path) as store:
        forget_failed(store)
    with Store(tmp_path) as store:
        assert store.unrecorded == in_flight


def test_only_failures_that_can_be_sent_are_counted_as_sent_again(tmp_path: Path) -> None:
    """Broken rows are read again, but nothing is sent for them or for copies of another row's answer."""
    a, b, c = requests(*"abc")
    settle(tmp_path, [failure(a), failure(b, "bad_row")._replace(attempts=0), failure(c)._replace(attempts=0)])
    with Store(tmp_path) as store:
        assert forget_failed(store, shares_answers=True) == 1
        assert store.unsettled([a, b, c]) == [a, b, c]


def test_without_shared_answers_every_failure_but_a_broken_row_is_sent_again(tmp_path: Path) -> None:
    a, b, c = requests(*"abc")
    settle(tmp_path, [failure(a), failure(b, "bad_row")._replace(attempts=0), failure(c)._replace(attempts=0)])
    with Store(tmp_path) as store:
        assert forget_failed(store) == 2


def test_what_is_foreseen_counts_retired_answers_and_leaves_out_broken_rows(tmp_path: Path) -> None:
    """An edit that is undone costs nothing: neither does it in the forecast. Another process may be writing."""
    a, b, c = requests(*"abc")
    settle(tmp_path, [answer(a), answer(b), failure(c, "bad_row")])
    adapted(tmp_path, requests("x", "b", "c"))
    with Store(tmp_path):
        foreseen = foresee(tmp_path, [[a], [b, c]])
        assert foreseen == (Change(2, 3, 0, 0, 0), {"m": 2}, {})
        other = requests("z", model="other")
        assert foresee(tmp_path, [other]) == (Change(2, 0, 1, 1, 2), {}, {"other": array("q", [0])})


def test_requests_that_ask_the_same_are_foreseen_as_one(tmp_path: Path) -> None:
    """Where answers are shared; and none is where one of them has its answer. Broken rows are not sent."""
    settle(tmp_path, [answer(each) for each in requests("a")])
    broken = BadRow(9, "m", 0, b"broken".ljust(16), None, "in.jsonl:9: is not JSON")
    batches = [requests(*"aaabbbcc"), [broken]]
    assert foresee(tmp_path, batches).new == {"m": 7}
    shared = foresee(tmp_path, batches, shares_answers=True)
    assert (shared.new, shared.change.new) == ({"m": 2}, 2)
    with Store(tmp_path) as store:
        assert adapt(store, batches, lambda change: False, shares_answers=True).new == 2


def test_what_is_settled_is_counted_without_the_requests(tmp_path: Path) -> None:
    """As many as are foreseen where nothing has changed. Broken rows are not requests."""
    a, b, c = requests(*"abc")
    settle(tmp_path, [answer(a), failure(b), failure(c, "bad_row")])
    assert settled_in(tmp_path) == ({"m": 2}, False)
    assert foresee(tmp_path, [[a, b, c]]).settled == {"m": 2}
    adapted(tmp_path, requests("x", "b", "c"))
    assert settled_in(tmp_path) == ({"m": 1}, True)
