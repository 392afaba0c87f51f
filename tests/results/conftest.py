"""A function that makes outcomes for tests."""

from collections.abc import Callable

import orjson
import pytest

from batchrun.records import Outcome, Usage

OUTCOME = Outcome(
    row=0,
    model="m",
    sample=0,
    key=b"k" * 16,
    custom_id=None,
    kind=None,
    error=None,
    http_status=200,
    attempts=1,
    latency_s=0.5,
    finished_at_ms=1_763_670_000_123,
    body=orjson.dumps({"id": "chatcmpl-1", "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}),
    usage=Usage(),
)


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    """Return a function that makes a completed outcome with the given values instead of the defaults."""
    return OUTCOME._replace
