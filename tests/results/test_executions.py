"""Executions and pauses as run.json has them."""

import pytest
from harness.priced import priced

from batchrun.checkpoint.history import ExecutionTimes, PauseTimes
from batchrun.job.sections import Price
from batchrun.records import AnswerSource, ModelTotals
from batchrun.results.executions import ended_text, execution_entries, pause_reason, pause_text

PRICES = {"m": Price(input_usd_per_mtok=1, output_usd_per_mtok=2), "unpriced": None}


def sums(**counts: int) -> ModelTotals:
    return ModelTotals(**counts)


def execution(**changes: object) -> ExecutionTimes:
    """An execution that died, with a pause that it died in."""
    times = ExecutionTimes(1_000, None, "died", (PauseTimes("m", "timeout", 4_000, None, "slow"),), seen_at_ms=9_000)
    return times._replace(**changes)  # type: ignore[arg-type]


def test_an_entry_has_the_rows_and_the_cost_of_the_execution() -> None:
    """Cost is that of all models together."""
    settled = {
        AnswerSource("m"): sums(
            requests=3, completed=2, failed=1, attempts=5, prompt_tokens=1_000_000, completion_tokens=500_000
        ),
        AnswerSource("unpriced"): sums(requests=1, completed=1),  # a copy: nothing was sent
    }
    (entry,) = execution_entries([execution(settled=settled, ended_by="killed")], 20_000, priced(**PRICES))
    assert (entry["rows"], entry["completed"], entry["failed"], entry["attempts"]) == (4, 3, 1, 5)
    assert (entry["prompt_tokens"], entry["completion_tokens"], entry["cost_usd"]) == (1_000_000, 500_000, 2.0)
    assert entry["ended_by"] == "killed"


def test_a_cost_is_null_where_a_price_is_not_known() -> None:
    settled = {AnswerSource("unpriced"): sums(requests=1, completed=1, attempts=1)}
    (entry,) = execution_entries([execution(settled=settled)], 20_000, priced(**PRICES))
    assert (entry["rows"], entry["cost_usd"]) == (1, None)


def test_figures_that_were_not_recorded_are_null() -> None:
    (entry,) = execution_entries([execution()], 20_000, priced(**PRICES))
    assert (entry["rows"], entry["failed"], entry["cost_usd"]) == (None, None, None)


def test_an_execution_that_died_lasted_until_it_was_last_seen() -> None:
    """So did the pause that it died in."""
    (entry,) = execution_entries([execution()], 20_000, priced(**PRICES))
    assert (entry["ended_at"], entry["until"]) == (None, "1970-01-01T00:00:09.000+00:00")
    assert (entry["running_s"], entry["paused_s"]) == (8.0, 5.0)


@pytest.mark.parametrize(
    ("word", "text"),
    [("SIGINT", "Ctrl-C"), ("SIGTERM", "SIGTERM"), ("done", "done"), ("restarted", "the machine was restarted")],
)
def test_an_ending_is_named_for_people(word: str, text: str) -> None:
    assert ended_text(word) == text


@pytest.mark.parametrize(
    ("models", "is_of_several", "reason"),
    [
        (["a"], False, "overloaded: full"),
        (["a"], True, "a: overloaded: full"),
        (["a", "b"], False, "a, b: overloaded: full"),
    ],
)
def test_a_pause_names_its_models_where_there_are_others(models: list[str], is_of_several: bool, reason: str) -> None:
    """The others are answered meanwhile."""
    began = "2026-11-28T00:10:00+00:00"
    pauses = [{"model": model, "kind": "overloaded", "message": "full", "started_at": began} for model in models]
    assert pause_reason(pauses, is_of_several=is_of_several) == reason
    assert reason in str(pause_text(pauses, is_of_several=is_of_several))
