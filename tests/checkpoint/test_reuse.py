"""Which answers of other runs answer which requests, and what is read of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.checkpoints import answer, failure, outcomes_in, requests, settle

from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.reuse import Requests, RunAnswers
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import pack, unpack
from batchrun.checkpoint.twins import RECOUNT
from batchrun.records import AnswerSource, Outcome, Usage

ONE_GROUP = [(0, 0, 1)]
"""There is one model."""


def key(letter: str) -> bytes:
    return letter.encode() * 16


def paired(
    asked: str, answered: str, *, used: dict[str, int] | None = None, shares_answers: bool = False
) -> list[tuple[int, int]]:
    """Return which row gets the answer of which row, of requests with these letters as keys."""
    with Requests(shares_answers=shares_answers) as listed:
        listed.add((pack(row, 0, 0), key(letter), 0, None) for row, letter in enumerate(asked))
        answers = ((pack(row, 0, 0), 0, key(letter), 0) for row, letter in enumerate(answered))
        count = listed.pair(answers, [(0, key(letter), 0, times) for letter, times in (used or {}).items()], ONE_GROUP)
        pairs = sorted((place >> 24, number >> 24) for part in listed.pairs() for place, _, _, number in part)
        assert count == len(pairs)
        assert sorted(row for row, _ in listed.places()) == [row for row, _ in pairs]
        return pairs


@pytest.mark.parametrize(
    ("asked", "answered", "pairs"),
    [
        ("", "abc", []),
        ("abc", "", []),
        ("cxa", "abc", [(0, 2), (2, 0)]),
        ("aaa", "aba", [(0, 0), (1, 2)]),
        ("aba", "aaa", [(0, 0), (2, 1)]),
    ],
)
def test_the_same_requests_get_different_answers_in_order(
    asked: str, answered: str, pairs: list[tuple[int, int]]
) -> None:
    """As many as there are."""
    assert paired(asked, answered) == pairs


def test_what_was_used_before_is_left_out() -> None:
    """As often as it was used."""
    assert paired("aab", "aaab", used={"a": 1}) == [(0, 1), (1, 2), (2, 3)]
    assert paired("a", "aa", used={"a": 2}) == []


def test_requests_that_share_answers_all_get_the_first() -> None:
    assert paired("aba", "cabba", shares_answers=True) == [(0, 1), (1, 2), (2, 1)]


def test_a_sample_gets_the_answer_of_its_own_number() -> None:
    """Samples are bought one by one."""
    with Requests(shares_answers=False) as listed:
        listed.add((pack(0, 0, sample), key("a"), sample, None) for sample in range(3))
        assert listed.pair([(pack(5, 0, 2), 0, key("a"), 2), (pack(5, 0, 7), 0, key("a"), 7)], [], ONE_GROUP) == 1
        assert [unpack(place) for part in listed.pairs() for place, *_ in part] == [(0, 0, 2)]


def test_what_was_found_in_one_run_is_not_looked_for_in_the_next() -> None:
    """The order of the runs is that of the job."""
    with Requests(shares_answers=False) as listed:
        listed.add((pack(row, 0, 0), key(letter), 0, None) for row, letter in enumerate("ab"))
        assert listed.pair([(1, 0, key("a"), 0)], [], ONE_GROUP) == 1
        listed.forget_paired()
        assert listed.pair([(1, 0, key("a"), 0), (2, 0, key("b"), 0)], [], ONE_GROUP) == 1
        assert list(listed.places()) == [(1, 0)]


def test_requests_are_the_same_under_several_names_of_their_model() -> None:
    """The answers of `m` are for both names that this job has for it, each for one of them."""
    with Requests(shares_answers=False) as listed:
        listed.add((pack(0, model, 0), key(letter), 0, None) for model, letter in enumerate("ab"))
        listed.add_alike((key(letter), key("?")) for letter in "abm")
        answers = [(number, 0, key("m"), 0) for number in range(2)]
        groups = [(0, 0, 1), (1, 0, 2)]
        assert listed.pair(answers, [], groups) == 2
        assert sorted(listed.places()) == [(0, 0), (0, 1)]
        assert listed.pair(answers, [(0, key("a"), 0, 1), (0, key("b"), 0, 1)], groups) == 0
        assert listed.pair(answers, [(1, key("a"), 0, 1)], groups) == 2  # of another model that is asked the same
        assert listed.pair([(0, 1, key("m"), 0)], [], groups) == 0
        assert listed.pair(answers, [], []) == 0


def test_two_names_of_a_model_share_no_answer_where_rows_do() -> None:
    with Requests(shares_answers=True) as listed:
        listed.add((pack(row, model, 0), key(letter), 0, None) for row in range(2) for model, letter in enumerate("ab"))
        listed.add_alike((key(letter), key("?")) for letter in "abm")
        listed.pair([(number, 0, key("m"), 0) for number in range(4)], [], [(0, 0, 1), (1, 0, 2)])
        pairs = sorted((unpack(place)[:2], number) for part in listed.pairs() for place, *_, number in part)
        assert pairs == [((0, 0), 0), ((0, 1), 1), ((1, 0), 0), ((1, 1), 1)]


def test_only_some_of_the_requests_can_be_kept() -> None:
    with Requests(shares_answers=False) as listed:
        listed.add((pack(row, model, 0), key("a"), 0, None) for row in range(3) for model in range(2))
        listed.keep(lambda row, model: row == 1 and model == 1)
        assert listed.pair([(number, 0, key("a"), 0) for number in range(9)], [], [(0, 0, 1), (1, 0, 2)]) == 1
        assert list(listed.places()) == [(1, 1)]


def take(directory: Path, other: Path, asked: str, endpoint_of: Callable[[AnswerSource], str | None]) -> list[Outcome]:
    """Adopt what another run has for these requests."""
    with Store(directory) as store, RunAnswers(other) as run, Requests(shares_answers=False) as listed:
        entries = requests(*asked)
        listed.add((store.id_of(each), each.key, each.sample, each.custom_id) for each in entries)
        listed.pair(run.answers(lambda source: None if endpoint_of(source) is None else 0), [], ONE_GROUP)
        for part in run.found(listed, lambda model, source: endpoint_of(source)):
            taken = [
                answer(entries[each.row], usage=Usage(0, 0, 0, 0, 0))._replace(
                    attempts=0, body=each.body, endpoint=each.endpoint
                )
                for each in part
            ]
            store.adopt(taken, "other")
    return outcomes_in(directory)


def test_answers_of_accepted_sources_are_read_with_the_endpoint_that_they_count_for(tmp_path: Path) -> None:
    """Failed rows never are."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    a, b, c, d = requests(*"abcd")
    east, west = answer(a, endpoint="east"), answer(b, endpoint="west")
    settle(other, [east, west, failure(c), answer(d)])
    names = {"east": "here", "west": None, "": ""}
    taken = take(mine, other, "dcba", lambda source: names[source.endpoint])
    assert [(each.row, each.endpoint) for each in taken] == [(0, ""), (3, "here")]
    assert taken[1].body == east.body


def test_what_was_adopted_is_a_source_of_its_own_and_not_a_copy(tmp_path: Path) -> None:
    """So that it is counted apart, and an edit does not count it as another."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    settle(other, [answer(each) for each in requests(*"ab")])
    take(mine, other, "abc", lambda source: "")
    with Checkpoint(mine) as checkpoint:
        [(source, sums)] = checkpoint.parts().items()
        assert (source.run, sums.completed, sums.attempts, sums.total_tokens) == ("other", 2, 0, 0)
        assert [run for part in checkpoint.columns() for run in part["run"]] == ["other", "other"]
        assert checkpoint.totals()[source.model].completed == 2
    with RunAnswers(mine) as run:
        assert run.used("other") == sorted((each.model, each.key, 0, 1) for each in requests(*"ab"))
        assert run.used("another") == []
    with Store(mine) as store:
        assert store.unrecorded == 0
        with store.using() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('twins', '9')")
            connection.execute(RECOUNT)
            assert connection.execute("SELECT value FROM facts WHERE name = 'twins'").fetchone() == ("0",)
