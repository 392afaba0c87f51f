"""The rows of a model wait only while no endpoint is left that serves it."""

from batchrun.checkpoint.reachable import Reachable


def reachable() -> Reachable:
    state = Reachable()
    state.serving = lambda model: {"a": ["east", "west"], "b": ["west"]}[model]
    return state


def test_a_model_is_paused_when_every_endpoint_that_serves_it_is_away() -> None:
    state = reachable()
    state.away("a", "west")
    state.away("b", "west")
    assert [state.is_paused(model) for model in "ab"] == [False, True]
    state.away("a", "east")
    assert state.is_paused("a")
    state.back("a", "west")
    assert not state.is_paused("a")


def test_an_endpoint_that_is_closed_is_not_waited_for() -> None:
    """A model with nothing but closed endpoints waits for nothing."""
    state = reachable()
    state.closed("a", "east")
    assert not state.is_paused("a")
    state.away("a", "west")
    assert state.is_paused("a")
    state.closed("a", "west")
    assert not state.is_paused("a")


def test_the_only_endpoint_is_all_there_is() -> None:
    state = Reachable()
    state.away("m", "")
    assert state.is_paused("m")
    state.back("m", "")
    assert not state.is_paused("m")
