"""Runs by batches that a provider refuses, or that ask what cannot be done in batches."""

from typing import Any

import pytest
from harness.by_batch import BY_BATCH, MANY, MODEL, assert_bought_once, state
from harness.prompts import write_prompts


def test_a_wrong_model_stops_the_run_with_its_reason_and_costs_nothing(run: Any, endpoint: Any) -> None:
    write_prompts(*MANY)
    finished = run(*BY_BATCH, model="none/such")
    assert finished.code == 4
    assert "The provided model 'none/such' is not supported by the Batch API" in finished.stderr
    assert state()["rows"] == 0
    assert endpoint.stats.answered == 0


def test_a_parameter_that_all_rows_have_and_none_may_stops_the_run(run: Any, endpoint: Any) -> None:
    """The rows stay open: the same command goes on when the job is corrected."""
    write_prompts(*MANY)
    finished = run(*BY_BATCH, "--param", "top_logprobs=50")
    assert finished.code == 4
    assert "top_logprobs" in finished.stderr
    assert state()["rows"] == 0
    assert run(*BY_BATCH, "--param", "top_logprobs=5").code == 0
    assert_bought_once(endpoint)


def test_a_refused_key_stops_the_run_and_the_batches_are_found_again(run: Any, endpoint: Any) -> None:
    endpoint.change(keys=["other"])
    write_prompts(*MANY)
    assert run(*BY_BATCH).code == 4
    assert [each["status"] for each in state()["batches"]["open"]] == ["not_sent"]
    endpoint.change(keys=[])
    assert run(*BY_BATCH).code == 0
    assert_bought_once(endpoint)


@pytest.mark.parametrize("models", [(MODEL, "no/such"), ("no/such", MODEL)])
@pytest.mark.parametrize("rows_each", [1, 20])
def test_a_refused_model_is_closed_and_the_others_go_on(
    batchrun: Any, endpoint: Any, models: tuple[str, str], rows_each: int
) -> None:
    """As in the ordinary way: its rows stay open, and none of its batches is left."""
    write_prompts(*MANY[:rows_each])
    asked = ("-m", models[0], "-m", models[1], "--base-url", endpoint.base_url, "-o", "out")
    endpoint.change(batch_lines_per_s=15)
    finished = batchrun("run", *BY_BATCH, *asked, "--batch-requests", 10)
    assert finished.code == 4
    assert "no/such" in finished.stderr
    assert "The other models continue" in finished.stderr
    assert "at the provider" not in finished.stderr
    assert (state()["completed"], state()["failed"]) == (rows_each, 0)
    assert_bought_once(endpoint)


def test_what_is_refused_is_not_reported_as_left(run: Any, endpoint: Any) -> None:
    write_prompts(*MANY)
    finished = run(*BY_BATCH, "--batch-requests", 20, model="none/such")
    assert finished.code == 4
    assert "at the provider" not in finished.stderr
    assert {name: count for name, count in state()["batches"].items() if count} == {"not_taken": 2}


@pytest.mark.parametrize("flags", [("--batch-requests", "5"), ("--rest-by", "06:00")])
def test_what_only_batches_have_names_the_flag_that_is_missing(run: Any, flags: tuple[str, str]) -> None:
    write_prompts("a")
    refused = run("in.jsonl", *flags)
    assert refused.code == 2
    assert refused.stderr.rstrip().endswith('; needs via = "batch" (--via batch)')


def test_a_provider_with_another_api_is_refused_before_anything_is_sent(batchrun: Any) -> None:
    write_prompts("a")
    for command in ("run", "check"):
        refused = batchrun(command, *BY_BATCH, "-m", "m", "--base-url", "https://api.anthropic.com/v1", "-o", "out")
        assert refused.code == 2
        assert "leave out --via batch" in refused.stderr
        assert "Anthropic has batches, but not by OpenAI's API" in refused.stderr


def test_a_run_with_nothing_to_send_announces_nothing(run: Any, endpoint: Any) -> None:
    write_prompts("a")
    assert "sending in batches" in run(*BY_BATCH).stderr
    assert "sending in batches" not in run(*BY_BATCH, "--rest-by", "06:00").stderr
