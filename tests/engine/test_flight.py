"""What a run that stops waits for."""

from typing import Any

import pytest

from batchrun.engine.flight import flight_text
from batchrun.job.sections import Input, Job, Model


class Pool:
    """What is in flight, with attempts that began just now."""

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight

    def drain_s(self, timeout_s: float, *, is_stream: bool) -> float:
        """Return the whole timeout: nothing is known of the answers."""
        return timeout_s


@pytest.mark.parametrize(
    ("stream", "in_flight", "text"),
    [
        (False, 0, "nothing is in flight"),
        (False, 1, "waiting for 1 answer in flight, for at most 10 min 00 s"),
        (True, 5, "waiting for 5 answers in flight, for at most 1 h 00 min"),
        ("auto", 5, "waiting for 5 answers in flight, for at most 1 h 00 min"),
    ],
)
def test_a_run_that_stops_reports_what_it_waits_for_and_how_long(stream: Any, in_flight: int, text: str) -> None:
    """A stream may take six times the timeout."""
    made = Job(input=Input(path=("a",)), model=Model(names=("m",), stream=stream))
    assert flight_text(made, Pool(in_flight)) == text  # type: ignore[arg-type]
