"""The workers of a cluster in one line."""

import pytest

from batchrun.records import WorkerFigures
from batchrun.report.workers import lost_text, workers_text


def workers(*in_flight: int | str) -> list[WorkerFigures]:
    """Return workers: a number is what one has in flight, a word is its state."""
    return [
        WorkerFigures(place + 1, "n", each, 50, 60)
        if isinstance(each, int)
        else WorkerFigures(place, "", 0, 0, 0, each)
        for place, each in enumerate(in_flight)
    ]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (workers(50, 50, 51, 49), "4 workers: 50 50 51 49"),
        (workers(50, 50, "silent", 49), "4 workers: 50 50 – 49 (1 silent)"),
        (workers(7, "starting", "silent", "starting"), "4 workers: 7 – – – (1 silent, 2 starting)"),
        (workers("starting", "starting"), "2 workers (2 starting)"),
        (workers(3), "1 worker: 3"),
        (workers(*range(40, 49), "silent"), "10 workers: 40 to 48 each (1 silent)"),
    ],
)
def test_a_line_shows_each_of_a_few_workers_and_who_is_not_at_work(given: list[WorkerFigures], text: str) -> None:
    """What a silent worker has in flight is not known."""
    assert workers_text(given) == text


@pytest.mark.parametrize(
    ("lost", "put_back", "text"),
    [
        (0, 0, ""),
        (1, 0, "1 worker lost"),
        (1, 11, "1 worker lost; 11 rows that it had were put back for others"),
        (1, 1, "1 worker lost; 1 row that it had was put back for others"),
        (2, 1_200, "2 workers lost; 1,200 rows that they had were put back for others"),
    ],
)
def test_workers_that_were_lost_are_shown_with_their_rows(lost: int, put_back: int, text: str) -> None:
    """Nothing where none was."""
    assert lost_text(lost, put_back) == text
