"""An outcome keeps its source wherever it goes: read back, moved, retired, copied for a twin."""

from pathlib import Path

from harness.checkpoints import answer, failure, outcomes_in, requests, settle

from batchrun.checkpoint.changes import adapt, foresee, forget_failed
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.records import AnswerSource, Outcome

PLACES = {"a": "east", "b": "west", "c": "", "d": "east"}


def placed() -> list[Outcome]:
    return [answer(each, endpoint=PLACES[each.key.decode()[0]]) for each in requests(*PLACES)]


def places_in(directory: Path) -> dict[str, str]:
    return {each.key.decode()[0]: each.endpoint for each in outcomes_in(directory)}


def ask(directory: Path, prompts: str) -> None:
    with Store(directory) as store:
        adapt(store, [requests(*prompts)], lambda change: True)


def test_what_was_put_is_read_back_with_its_endpoint_and_the_model_that_answered(tmp_path: Path) -> None:
    outcomes = [*placed(), answer(*requests("e", first=4), endpoint="west", answered_by="spare")]
    settle(tmp_path, outcomes)
    assert outcomes_in(tmp_path) == outcomes
    with Checkpoint(tmp_path) as checkpoint:
        (found,) = checkpoint.outcomes(row=4)
        assert found == outcomes[4:]


def test_many_rows_of_many_commits_keep_their_own(tmp_path: Path) -> None:
    """More than are read at once, and those of one endpoint between them."""
    names = ("east", "", "west")
    outcomes = [
        answer(each, endpoint=names[each.row % 3]) for each in requests(*(f"p{number}" for number in range(5_000)))
    ]
    for start in range(0, 5_000, 1_000):
        settle(tmp_path, outcomes[start : start + 1_000])
    assert outcomes_in(tmp_path) == outcomes


def test_only_failures_are_read_with_their_own_endpoint(tmp_path: Path) -> None:
    a, b, c = requests(*"abc")
    settle(tmp_path, [answer(a, endpoint="east"), failure(b)._replace(endpoint="west"), answer(c, endpoint="east")])
    with Checkpoint(tmp_path) as checkpoint:
        (found,) = checkpoint.columns(is_failed=True)
    assert (found["row"], found["endpoint"]) == ([1], ["west"])


def test_an_answer_that_moves_takes_its_endpoint_along(tmp_path: Path) -> None:
    settle(tmp_path, placed())
    foreseen = foresee(tmp_path, [requests(*"xdcba")])
    ask(tmp_path, "xdcba")
    assert places_in(tmp_path) == PLACES
    assert foreseen.change.kept == 4


def test_an_answer_that_was_retired_comes_back_with_its_endpoint(tmp_path: Path) -> None:
    """Meanwhile other answers had its place, and left too."""
    settle(tmp_path, placed())
    ask(tmp_path, "wxyz")
    settle(tmp_path, [answer(each, endpoint="north") for each in requests(*"wxyz")])
    ask(tmp_path, "bw")
    assert places_in(tmp_path) == {"b": "west", "w": "north"}
    ask(tmp_path, "dcbaw")
    assert places_in(tmp_path) == PLACES | {"w": "north"}


def test_a_failure_that_is_sent_again_has_the_endpoint_that_answers_then(tmp_path: Path) -> None:
    (request,) = requests("a")
    settle(tmp_path, [failure(request)._replace(endpoint="east")])
    with Store(tmp_path) as store:
        assert forget_failed(store) == 1
    settle(tmp_path, [answer(request, endpoint="west")])
    assert places_in(tmp_path) == {"a": "west"}


def test_rows_that_leave_are_no_longer_counted_for_their_endpoint(tmp_path: Path) -> None:
    """What was paid stays."""
    settle(tmp_path, placed())
    ask(tmp_path, "ab")
    with Store(tmp_path) as store:
        east = store.parts[AnswerSource("m", "east")]
    assert (east.completed, east.attempts, east.prompt_tokens) == (1, 2, 6)


def test_a_twin_gets_the_endpoint_of_its_first(tmp_path: Path) -> None:
    """Also where the first is settled in the same commit, and where it has none."""
    with Store(tmp_path) as store:
        store.share_answers(is_wanted=True)
        asked = requests(*"abab")
        first, second = store.unsettled(asked)
        store.put(answer(first, endpoint="east"))
        store.put(answer(second))
    with Store(tmp_path) as store:
        store.share_answers(is_wanted=True)
        assert store.unsettled(requests(*"ab", first=4)) == []
    found = [(each.row, each.endpoint, each.attempts) for each in outcomes_in(tmp_path)]
    assert found == [(0, "east", 1), (1, "", 1), (2, "east", 0), (3, "", 0), (4, "east", 0), (5, "", 0)]
    with Checkpoint(tmp_path) as checkpoint:
        east = checkpoint.parts()[AnswerSource("m", "east")]
    assert (east.completed, east.attempts, east.prompt_tokens) == (3, 1, 3)
