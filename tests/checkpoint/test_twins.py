"""Rows that ask the same are bought once, whenever and however the process ends, and each has its outcome."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from harness.checkpoints import answer, failure, outcomes_in, requests

from batchrun.checkpoint import twins as twins_module
from batchrun.checkpoint.changes import adapt, forget_failed
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.salvage.rescue import salvage
from batchrun.checkpoint.store import Store
from batchrun.records import BadRow, Outcome, Request, Usage

NOTHING = Usage(0, 0, 0, 0, 0)


@contextlib.contextmanager
def sharing(directory: Path, *, start: bool = False) -> Iterator[Store]:
    with Store(directory) as store:
        store.share_answers(is_wanted=True)
        if start:
            store.start(lambda rows: None, lambda error: None)
        yield store


def sent(store: Store, asked: Sequence[Request]) -> list[int]:
    return [each.row for each in store.unsettled(asked)]


def settled(directory: Path) -> list[tuple[int, str, int]]:
    return [(each.row, each.key.decode().rstrip("."), each.attempts) for each in outcomes_in(directory)]


def test_a_twin_is_not_sent_and_gets_a_copy_that_cost_nothing(tmp_path: Path) -> None:
    """Its own row and label; no attempt, no latency, no tokens."""
    with sharing(tmp_path) as store:
        first, second, twin = requests("a", "b", "a")
        assert sent(store, [first, second, twin]) == [0, 1]
        store.put(answer(second))
        store.put(answer(first, throttled=1, attempts=2))
        totals = store.totals
    bought, _, copy = outcomes_in(tmp_path)
    assert copy == bought._replace(
        row=2,
        custom_id="id-a",
        attempts=0,
        throttled=0,
        latency_s=None,
        usage=NOTHING,
        finished_at_ms=copy.finished_at_ms,
    )
    with Store(tmp_path) as store:
        totals = store.totals["m"]
    assert (totals.requests, totals.completed, totals.attempts, totals.total_tokens, totals.unstated) == (
        3,
        3,
        3,
        10,
        0,
    )


def test_a_twin_of_what_was_settled_before_is_not_sent_either(tmp_path: Path) -> None:
    """In this run, or in one that knew nothing of twins."""
    with Store(tmp_path) as store:
        store.model_id("m")
        store.put(answer(*requests("a")))
    with sharing(tmp_path) as store:
        assert sent(store, requests("b", "a", first=1)) == [1]
        store.put(answer(*requests("b", first=1)))
    with sharing(tmp_path) as store:
        assert sent(store, requests("a", "b", "c", first=3)) == [5]
    assert settled(tmp_path) == [(0, "a", 1), (1, "b", 1), (2, "a", 0), (3, "a", 0), (4, "b", 0)]


def test_twins_of_what_is_on_its_way_are_settled_when_it_is(tmp_path: Path) -> None:
    """Also when that takes until the end."""
    with sharing(tmp_path, start=True) as store:
        assert sent(store, requests(*"aab")) == [0, 2]
        assert sent(store, requests(*"bca", first=3)) == [4]
        for each in [*requests("b", first=2), *requests("c", first=4), *requests("a")]:
            store.put(answer(each))
    assert [row for row, _, attempts in settled(tmp_path) if attempts == 0] == [1, 3, 5]
    assert len(outcomes_in(tmp_path)) == 6


def test_a_twin_whose_first_was_not_settled_stays_open(tmp_path: Path) -> None:
    """The next run sends one of the two; which one does not matter."""
    with sharing(tmp_path) as store:
        assert sent(store, requests(*"aa")) == [0]
    assert outcomes_in(tmp_path) == []
    with sharing(tmp_path) as store:
        assert sent(store, requests(*"aa")) == [0]


def test_a_failure_is_shared_too_and_sent_again_once(tmp_path: Path) -> None:
    """With the words of the endpoint; no tokens were stated, so none are."""
    with sharing(tmp_path) as store:
        sent(store, requests(*"aba"))
        store.put(failure(requests("a")[0]))
    first, copy = outcomes_in(tmp_path)
    assert (copy.kind, copy.error, copy.http_status) == (first.kind, first.error, first.http_status)
    assert (copy.attempts, copy.usage) == (0, Usage())
    with sharing(tmp_path) as store:
        assert store.totals["m"].failed == 2
        assert forget_failed(store) == 2
        assert sent(store, requests(*"aba")) == [0, 1]
        store.put(answer(requests("a")[0]))
    assert [(each.row, each.kind) for each in outcomes_in(tmp_path)] == [(0, None), (2, None)]


def test_an_answer_is_shared_rather_than_a_failure(tmp_path: Path) -> None:
    """Where earlier runs, without sharing, have left both."""
    one, two = requests(*"aa")
    with Store(tmp_path) as store:
        store.model_id("m")
        store.put(failure(one))
        store.put(answer(two))
    with sharing(tmp_path) as store:
        assert sent(store, requests("a", first=2)) == []
    assert [each.kind for each in outcomes_in(tmp_path)] == ["bad_request", None, None]


def test_samples_of_one_prompt_are_not_twins(tmp_path: Path) -> None:
    """Several answers were asked for. The samples of two rows that ask the same are."""
    asked = [each._replace(sample=sample) for each in requests(*"aa") for sample in range(3)]
    with sharing(tmp_path) as store:
        assert [(each.row, each.sample) for each in store.unsettled(asked)] == [(0, 0), (0, 1), (0, 2)]
        for each in asked[:3]:
            store.put(answer(each, body=b"%d" % each.sample))
    assert [(each.row, each.sample, each.body) for each in outcomes_in(tmp_path)] == [
        (row, sample, b"%d" % sample) for row in range(2) for sample in range(3)
    ]


def test_broken_rows_have_no_twins(tmp_path: Path) -> None:
    """Nothing is sent for any of them."""
    broken = [BadRow(row, "m", 0, b"k" * 16, None, "no") for row in range(2)]
    with sharing(tmp_path) as store:
        assert store.unsettled(broken) == broken


def test_many_twins_are_copied_in_many_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of which holds up the others for long; firsts with few twins do not wait for one with many."""
    monkeypatch.setattr(twins_module, "_AT_ONCE", 7)
    prompts = [*"abcd", *"a" * 50, *"bcd" * 3]
    with sharing(tmp_path) as store:
        assert sent(store, requests(*prompts)) == [0, 1, 2, 3]
        for each in requests(*"abcd"):
            store.put(answer(each))
    assert settled(tmp_path) == [(row, prompt, int(row < 4)) for row, prompt in enumerate(prompts)]


def test_the_reader_waits_for_a_writer_that_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins cost nothing, so nothing else would hold it back."""
    monkeypatch.setattr(twins_module, "_MOST_NOTED", 10)
    with sharing(tmp_path, start=True) as store:
        for row in range(0, 100, 5):
            store.unsettled(requests(*"aaaaa", first=row))
            assert store._writer.twins is not None
            assert len(store._writer.twins._noted) < 10 + 5
        store.put(answer(*requests("a")))
    assert len(outcomes_in(tmp_path)) == 100


def test_a_killed_run_says_rightly_how_many_were_on_their_way(tmp_path: Path) -> None:
    """Copies were never sent, and are not counted against what was."""
    with sharing(tmp_path) as store:
        sent(store, requests(*"aaab"))
        store.put(answer(*requests("a")))
        store.sending(1)
    for _ in range(2):
        with sharing(tmp_path) as store:
            assert store.unrecorded == 1
    with sharing(tmp_path) as store:
        sent(store, requests(*"aaab"))
        store.sending(1)
        store.put(answer(*requests("b", first=3)))
        store.sending(0)
    with Store(tmp_path) as store:
        assert (store.unrecorded, store.totals["m"].requests) == (0, 4)
        adapt(store, [requests(*"xay")], lambda change: True)
        store.sending(3)
    with Store(tmp_path) as store:
        assert store.totals["m"].requests == 1  # the copy, which stays in its place
        assert store.unrecorded == 3


def test_a_write_that_fails_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited is found again by the next run, and not bought again."""
    monkeypatch.setattr(
        twins_module, "_COPY", twins_module._COPY.replace("INSERT INTO outcomes", "INSERT INTO nowhere")
    )
    with sharing(tmp_path) as store:
        sent(store, requests(*"aaa"))
        store.put(answer(*requests("a")))
        with pytest.raises(sqlite3.OperationalError):
            store._writer.commit(is_last=False)
    assert settled(tmp_path) == [(0, "a", 1)]
    monkeypatch.undo()
    with sharing(tmp_path) as store:
        assert sent(store, requests(*"aaa")) == []
    assert settled(tmp_path) == [(0, "a", 1), (1, "a", 0), (2, "a", 0)]


def test_an_edited_job_keeps_copies_like_answers(tmp_path: Path) -> None:
    """Rows that move bring theirs along."""
    with sharing(tmp_path) as store:
        sent(store, requests(*"aab"))
        for each in [*requests("a"), *requests("b", first=2)]:
            store.put(answer(each))
    with Store(tmp_path) as store:
        change = adapt(store, [requests(*"baxa")], lambda change: True)
        assert (change.kept, change.new, change.gone) == (3, 1, 0)
        store.share_answers(is_wanted=True)
        assert sent(store, requests(*"baxax")) == [2]


def test_copies_that_an_edit_puts_out_of_the_results_are_not_bought_again(tmp_path: Path) -> None:
    """Only what was paid for counts when the user is asked whether to pay again."""
    with sharing(tmp_path) as store:
        sent(store, requests(*"aaab"))
        for each in [*requests("a"), *requests("b", first=3)]:
            store.put(answer(each))
    with Store(tmp_path) as store:
        change = adapt(store, [requests(*"xxxb")], lambda change: True)
    assert (change.gone, change.new, change.replaced) == (3, 3, 1)


def test_nothing_is_left_of_it_when_it_is_off_again(tmp_path: Path) -> None:
    """An index that nobody reads would cost every run."""
    with sharing(tmp_path):
        pass
    with Store(tmp_path) as store:
        store.share_answers(is_wanted=False)
        assert sent(store, requests(*"aa")) == [0, 1]
        query = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = 'outcomes'"
        names = store.connection.execute(query)
        assert names.fetchall() == []


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_order_each_prompt_is_bought_once(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that end anywhere, answers that come in any order, batches of any size."""
    random = Random(seed)
    monkeypatch.setattr(twins_module, "_AT_ONCE", random.choice([1, 3, 1000]))
    prompts = [random.choice("abcdefgh") for _ in range(60)]
    asked = requests(*prompts)
    bought: list[Outcome] = []
    while True:
        with sharing(tmp_path, start=random.random() < 0.5) as store:
            on_the_way: list[Request] = []
            row = 0
            while row < random.choice([20, 60, 60]):
                size = random.randint(1, 20)
                on_the_way += store.unsettled(asked[row : row + size])
                row += size
                random.shuffle(on_the_way)
                for _ in range(random.randint(0, len(on_the_way))):
                    bought.append(answer(on_the_way.pop()))
                    store.put(bought[-1])
        with Checkpoint(tmp_path) as checkpoint:
            if sum(map(len, checkpoint.outcomes())) == len(asked):
                break
    assert sorted({each.key for each in bought}) == sorted(each.key for each in bought)
    assert [key for _, key, _ in settled(tmp_path)] == prompts


def test_a_damaged_checkpoint_is_salvaged_with_its_copies(tmp_path: Path) -> None:
    """And the next run buys none of them again and counts correctly what was in flight."""
    with sharing(tmp_path) as store:
        sent(store, requests(*"abaab"))
        for each in requests(*"ab"):
            store.put(answer(each, body=b'{"id": "x"}'))
    before = outcomes_in(tmp_path)
    salvage(tmp_path)
    assert outcomes_in(tmp_path) == before
    with sharing(tmp_path) as store:
        adapt(store, [requests(*"abaabc")], lambda change: True)
        assert store.unrecorded == 0
        assert sent(store, requests(*"abaabc")) == [5]
