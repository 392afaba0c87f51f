"""When ordinary requests take over, also in later executions."""

from typing import Any

import pytest
from harness.notes import Notes

from batchrun.engine.batches.rest_time import rest_at_s


def test_the_time_is_that_of_the_first_execution_until_the_setting_changes() -> None:
    notes: Any = Notes()
    assert rest_at_s(None, notes) is None
    first = rest_at_s("06:00", notes)
    assert first is not None
    notes.found["rest_at"][1] = first - 86_400
    assert rest_at_s("06:00", notes) == first - 86_400
    assert rest_at_s("06:01", notes) == pytest.approx(first + 60, abs=86_400)
