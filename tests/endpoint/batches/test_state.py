from typing import Any

import pytest

from batchrun.endpoint.batches.state import Problem, poll_s, read_state


def entry(**more: Any) -> dict[str, Any]:
    return {"id": "batch_1", "object": "batch", "status": "in_progress", "input_file_id": "file-1"} | more


def test_a_batch_object_is_read() -> None:
    counts = {"total": 3, "completed": 2, "failed": 1}
    state = read_state(entry(request_counts=counts, created_at=5, expires_at=9, metadata={"a": "b"}))
    assert state is not None
    assert (state.total, state.completed, state.failed) == (3, 2, 1)
    assert (state.created_s, state.expires_s, state.metadata) == (5.0, 9.0, {"a": "b"})
    assert not state.is_ended


def test_what_is_absent_or_null_or_in_capitals_is_read_too() -> None:
    state = read_state({"id": "b", "status": "COMPLETED", "request_counts": None, "errors": None, "metadata": None})
    assert state is not None
    assert (state.status, state.is_ended, state.total, state.expires_s) == ("completed", True, 0, None)
    assert [read_state(each) for each in (None, [], {"status": "x"})] == [None] * 3


def test_a_batch_of_together_is_read() -> None:
    """Source: the example of its reference, "Create a batch job"."""
    job = {
        "id": "01234567",
        "input_file_id": "file-1",
        "status": "IN_PROGRESS",
        "job_deadline": "2024-01-15T15:30:00Z",
        "created_at": "2024-01-15T14:30:00Z",
        "output_file_id": "file-2",
        "error": "it broke",
    }
    state = read_state({"job": job, "warning": "w"})
    assert state == read_state(job)
    assert state is not None
    assert (state.id, state.status, state.input_file, state.output_file) == (
        "01234567",
        "in_progress",
        "file-1",
        "file-2",
    )
    assert (state.created_s, state.expires_s) == (1_705_329_000.0, 1_705_332_600.0)
    assert state.problems == (Problem("", "it broke", None),)
    odd = read_state(job | {"created_at": "soon", "job_deadline": None})
    assert odd is not None
    assert (odd.created_s, odd.expires_s) == (0.0, None)


@pytest.mark.parametrize(
    ("error", "is_full", "is_too_large"),
    [
        ({"code": "token_limit_exceeded", "message": "Enqueued token limit reached for m. Limit: 9"}, True, False),
        ({"code": "x", "message": "The number of enqueued tokens has surpassed the configured limit"}, True, False),
        ({"code": "too_many_tasks", "message": "The batch contains too many requests."}, False, True),
        ({"code": "model_not_found", "message": "no such model", "line": 1}, False, False),
    ],
)
def test_a_full_queue_and_a_large_file_are_recognised(error: dict[str, Any], is_full: bool, is_too_large: bool) -> None:
    state = read_state(entry(status="failed", errors={"object": "list", "data": [error]}))
    assert state is not None
    assert (state.is_queue_full, state.is_too_large) == (is_full, is_too_large)
    assert state.problems == (Problem(error["code"], error["message"], error.get("line")),)


@pytest.mark.parametrize(
    ("message", "is_of_model"),
    [
        ("Enqueued token limit reached for gpt-4o in organization o. Limit: 9 enqueued tokens.", True),
        ("The number of enqueued tokens has surpassed the configured limit", False),
    ],
)
def test_a_full_queue_is_of_one_model_where_the_provider_names_it(message: str, is_of_model: bool) -> None:
    error = {"code": "token_limit_exceeded", "message": message}
    state = read_state(entry(status="failed", errors={"object": "list", "data": [error]}))
    assert state is not None
    assert state.is_queue_full
    assert state.is_queue_of_model == is_of_model


def test_looks_become_rarer_with_age() -> None:
    assert [poll_s(age_s) for age_s in (0, 10, 100, 86_400)] == [0.5, 0.5, 5.0, 60.0]
