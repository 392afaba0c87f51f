"""Models that nothing more is sent to."""

from batchrun.engine.batches.closed_models import ClosedModels
from batchrun.records import Closed, Stop


def stop(message: str) -> Stop:
    return Stop(kind="model_not_found", message=message, exit_code=4)


def test_the_others_go_on_and_the_last_one_ends_the_run_with_all_reasons() -> None:
    """Each is reported once, with its first reason; the last one is not: the end of the run says it."""
    events: list[Closed] = []
    closed = ClosedModels(("a", "b"), "there", events.append)
    assert (closed.stop, closed.is_everything) == (None, False)
    closed.close("a", stop("no a"))
    closed.close("a", stop("again no a"))
    assert events == [Closed("a", "no a", "there")]
    assert not closed.is_everything
    assert closed.stop == stop("no a")
    closed.close("b", stop("no b"))
    assert closed.is_everything
    assert len(events) == 1
    assert closed.stop == stop("no a; and no b")


def test_the_same_reason_of_several_models_is_stated_once() -> None:
    closed = ClosedModels(("a", "b"), "", lambda event: None)
    for model in ("a", "b"):
        closed.close(model, stop("batches are not allowed"))
    assert closed.stop == stop("batches are not allowed")


def test_where_rows_name_their_models_none_is_the_last() -> None:
    """Another one may come with the next row."""
    events: list[Closed] = []
    closed = ClosedModels((), "", events.append)
    closed.close("a", stop("no a"))
    assert not closed.is_everything
    assert [event.model for event in events] == ["a"]
