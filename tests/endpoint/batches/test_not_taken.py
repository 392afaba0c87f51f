from typing import Any

import pytest

from batchrun.endpoint.batches.not_taken import Cause, not_taken
from batchrun.endpoint.batches.state import BatchState, read_state


def failed(*problems: Any) -> BatchState:
    state = read_state({"id": "b", "status": "failed", "errors": {"object": "list", "data": list(problems)}})
    assert state is not None
    return state


def lines(*numbers: int, code: str = "invalid_json_line") -> list[dict[str, Any]]:
    return [{"code": code, "message": f"wrong {number}", "line": number} for number in numbers]


@pytest.mark.parametrize(
    ("problem", "cause", "kind"),
    [
        ({"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}, Cause.QUEUE, "bad_request"),
        ({"code": "too_many_tasks", "message": "more than 50,000 requests"}, Cause.SIZE, "bad_request"),
        ({"code": "model_not_found", "message": "The model does not exist"}, Cause.MODEL, "model_not_found"),
        ({"code": "odd", "message": "something else"}, Cause.OTHER, "bad_request"),
    ],
)
def test_what_is_wrong_with_the_whole_batch_shows_in_its_code(problem: Any, cause: Cause, kind: str) -> None:
    found = not_taken(failed(problem), 100)
    assert (found.cause, found.kind, found.message) == (cause, kind, problem["message"])


@pytest.mark.parametrize(
    ("refused", "requests", "cause"),
    [
        (lines(*range(1, 11)), 100, Cause.JOB),
        (lines(*range(1, 10)), 100, Cause.LINES),
        (lines(1, 2), 2, Cause.JOB),
        (lines(1), 1, Cause.LINES),
        (lines(1, 3), 3, Cause.LINES),
        ([*lines(*range(1, 10)), *lines(10, code="other")], 10, Cause.LINES),
    ],
)
def test_the_job_is_wrong_where_the_first_lines_are_all_refused_for_the_same_reason(
    refused: Any, requests: int, cause: Cause
) -> None:
    """A provider lists only some. Of a batch with one line, the row is at fault."""
    found = not_taken(failed(*refused), requests)
    assert found.cause is cause
    assert len(found.lines) == (len(refused) if cause is Cause.LINES else 0)
    assert found.message == ("line 1: wrong 1" if cause is Cause.JOB else "wrong 1")


def test_a_batch_that_failed_without_a_reason_is_of_no_one() -> None:
    assert not_taken(failed(), 5) == (Cause.OTHER, "no reason is given", "bad_request", ())
