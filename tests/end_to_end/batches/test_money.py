"""What runs by batches cost: half the price, within their caps, by the books of the provider."""

import re
from pathlib import Path
from typing import Any

import pytest
from harness.by_batch import MANY, MODEL, assert_bought_once, books, created, service, state
from harness.prompts import results, write_prompts


def write_job(endpoint: Any) -> str:
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{MODEL}"\nmax_tokens = 20\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\nvia = "batch"\n[output]\ndir = "out"\n'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = 100\noutput_usd_per_mtok = 1000\n'
    )
    return "job.toml"


def test_an_output_file_that_was_deleted_is_reported_and_its_rows_are_sent_again(
    run: Any, endpoint: Any, monkeypatch: Any
) -> None:
    """What it cost is not known: it counts as set aside."""
    write_prompts(*MANY[:5])
    there = service(endpoint)._files
    find, deleted = there.find, list[str]()

    def lose(file_id: str, owner: str = "") -> Any:
        file = find(file_id, owner)
        if file.purpose == "batch_output" and not deleted:
            deleted.append(file_id)
            there.delete(file_id)
        return find(file_id, owner)

    monkeypatch.setattr(there, "find", lose)
    finished = run(write_job(endpoint), "--max-cost", 10, model=None)
    assert finished.code == 0, finished.stderr
    assert "gone at the provider" in finished.stderr
    assert state()["completed"] == 5
    assert state()["set_aside_usd"] > 0


def test_the_cost_is_half_and_no_cap_is_exceeded(batchrun: Any, endpoint: Any) -> None:
    """Under a cap that not all rows fit in, batches are made as large as it allows; a higher one goes on."""
    write_prompts(*MANY)
    finished = batchrun("run", write_job(endpoint), "--max-cost", 0.2, "--yes")
    assert finished.code == 5
    assert "cost cap of 0.2 USD" in finished.stderr
    half = (endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 2e6
    assert 0 < state()["completed"] < 40
    assert state()["cost_usd"] == pytest.approx(half)
    assert half <= 0.2
    assert batchrun("run", "job.toml", "--max-cost", 5, "--yes").code == 0
    half = (endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 2e6
    assert state()["cost_usd"] == pytest.approx(half)
    assert sum(row["cost_usd"] for row in results()) == pytest.approx(half)
    assert_bought_once(endpoint)


def test_near_a_cap_batches_stay_worth_their_hours_and_buy_nearly_as_much_as_ordinary_requests(
    batchrun: Any, endpoint: Any
) -> None:
    """Without a least size they went on down to one request each."""
    write_prompts(*(f"{prompt} Case {number}." for number in range(25) for prompt in MANY))
    finished = batchrun("run", write_job(endpoint), "--max-cost", 6, "--yes")
    assert finished.code == 5, finished.stderr
    sizes = [len(each.lines) for each in created(endpoint)]
    assert min(sizes) >= 10, sizes
    assert len(sizes) <= 8
    assert re.search(r"cost cap of 6 USD leaves room for \d+ requests? and not for another one", finished.stderr)
    assert "the cost cap of 6 USD allows no more requests now: they wait" in finished.stderr
    half = (endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 2e6
    assert state()["cost_usd"] == pytest.approx(half)
    assert half <= 6
    assert state()["batches"]["open"] == []
    in_batches = state()["completed"]
    assert batchrun("run", "job.toml", "--max-cost", 6, "--yes").code == 5
    assert state()["completed"] == in_batches
    assert "or run it with --via requests --yes to send what fits" in finished.stderr
    assert batchrun("run", "job.toml", "--via", "requests", "--max-cost", 6).code == 2
    assert batchrun("run", "job.toml", "--via", "requests", "--max-cost", 6, "--yes").code == 5
    assert state()["completed"] > in_batches
    assert_bought_once(endpoint)
    ordinary = ("--via", "requests", "--max-cost", 12, "--yes", "-o", "ordinary")
    assert batchrun("run", "job.toml", *ordinary).code == 5
    assert in_batches >= 0.95 * state("ordinary")["completed"]


def test_what_no_batch_has_answered_in_time_is_sent_as_ordinary_requests(
    batchrun: Any, endpoint: Any, monkeypatch: Any
) -> None:
    """The batches are cancelled first, so that nothing is bought twice; each way has its own price."""
    monkeypatch.setattr("batchrun.engine.batches.rest_time.next_time_s", lambda clock_time, now_s: now_s + 3.0)
    endpoint.change(batch_lines_per_s=5)
    write_prompts(*MANY)
    finished = batchrun("run", write_job(endpoint), "--rest-by", "06:00")
    assert finished.code == 0, finished.stderr
    assert re.search(r", in \d\.\d s, is sent as ordinary requests, at the usual price", finished.stderr)
    ways = [row["endpoint"].endswith("(batch)") for row in results()]
    assert 0 < sum(ways) < 40
    assert books(endpoint)["by_status"] == {"cancelled": 1}
    assert_bought_once(endpoint)
    costs = [row["prompt_tokens"] * 1e-4 + row["completion_tokens"] * 1e-3 for row in results()]
    expected = [cost / 2 if way else cost for cost, way in zip(costs, ways, strict=True)]
    assert [row["cost_usd"] for row in results()] == pytest.approx(expected)
    assert state()["cost_usd"] == pytest.approx(sum(expected))
