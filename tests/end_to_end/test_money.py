"""Cost: the ledger has every answer, and no cap is exceeded, over all executions of a run directory."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import write_prompts

from batchrun.job.file import load_job
from batchrun.prompts.size import worst_usage
from batchrun.prompts.source import Source
from batchrun.records import Request

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
OTHER = "meta-llama/Llama-3.3-70B-Instruct"
MANY = [f"number {number}" for number in range(100)]


def job(endpoint: Any, more: str = "") -> str:
    """Write a job with a price for each of two models; return its path."""
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nnames = ["{MODEL}", "{OTHER}"]\nmax_tokens = 20\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\n[output]\ndir = "out"\n{more}'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = 100\noutput_usd_per_mtok = 1000\n'
        f'[prices."{OTHER}"]\ninput_usd_per_mtok = 100\noutput_usd_per_mtok = 1000\n'
    )
    return "job.toml"


def billed_usd(endpoint: Any) -> float:
    """Return the sum that the endpoint has billed."""
    return float(endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 1e6


def assert_ledger_is_the_bill(endpoint: Any) -> None:
    """Check that usage.parquet and run.json have all billed tokens and their cost."""
    usage = pq.read_table("out/usage.parquet").to_pylist()
    state = json.loads(Path("out/run.json").read_text())
    assert sum(row["prompt_tokens"] for row in usage) == endpoint.stats.prompt_tokens == state["prompt_tokens"]
    assert sum(row["completion_tokens"] for row in usage) == endpoint.stats.completion_tokens
    assert sum(row["cost_usd"] for row in usage) == pytest.approx(billed_usd(endpoint))
    assert state["cost_usd"] == pytest.approx(billed_usd(endpoint))


def test_the_ledger_is_the_bill_after_retries_a_resume_and_an_edit(batchrun: Any, endpoint: Any) -> None:
    """Errors cost nothing. Answers cost what they state, even invalid ones and those that an edit has replaced."""
    endpoint.change(error_shares={"500": 0.05, "429": 0.05, "400": 0.05, "empty_choices": 0.25})
    write_prompts(*MANY[:40])
    assert batchrun("run", job(endpoint), "--limit", 20).code in (0, 1)
    assert endpoint.stats.spoiled > 0
    assert_ledger_is_the_bill(endpoint)
    assert batchrun("run", "job.toml", "--retry-failed").code in (0, 1)
    assert_ledger_is_the_bill(endpoint)
    write_prompts(*MANY[:20], *(f"edited {number}" for number in range(20)))
    assert batchrun("run", "job.toml", "--yes").code in (0, 1)
    assert_ledger_is_the_bill(endpoint)
    assert batchrun("export", "out").code == 0
    assert_ledger_is_the_bill(endpoint)


def test_answers_that_were_cut_off_count_only_for_the_caps(batchrun: Any, endpoint: Any) -> None:
    """A client cannot know their cost. The ledger has stated tokens only; the cap assumes the maximum."""
    endpoint.change(error_shares={"cut_body": 0.2})
    write_prompts(*MANY)
    summary = batchrun("run", job(endpoint), "--max-cost", 4, "--yes", "--json").json
    assert endpoint.stats.billed_unreceived > 0
    assert summary["cost_usd"] < billed_usd(endpoint) <= 4


def tokens(endpoint: Any) -> int:
    """Return the tokens that the endpoint has billed."""
    return int(endpoint.stats.prompt_tokens + endpoint.stats.completion_tokens)


def test_the_token_cap_is_never_exceeded(batchrun: Any, endpoint: Any) -> None:
    """Neither in one execution nor over several. The exit code is 5; with a higher cap the run resumes."""
    endpoint.change(error_shares={"cut_body": 0.05, "500": 0.05})
    write_prompts(*MANY)
    path = job(endpoint)
    done = batchrun("run", path, "--max-tokens-total", 3_000, "--json")
    assert done.code == 5
    assert "raise --max-tokens-total" in done.json["message"]
    assert 1_000 < tokens(endpoint) <= 3_000
    sent = endpoint.stats.received
    assert batchrun("run", path, "--max-tokens-total", 3_000).code == 5
    assert endpoint.stats.received == sent
    assert batchrun("run", path, "--max-tokens-total", 100_000).code == 0
    assert tokens(endpoint) <= 100_000


def test_a_killed_run_forgets_no_tokens(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """Requests in flight may have been billed and count with their maximum, even after an execution without a cap."""
    endpoint.change(latency_s=0.05, latency_sigma=0)
    write_prompts(*MANY)
    path = job(endpoint)
    for _ in range(2):
        before = endpoint.stats.answered
        process = spawn("run", path, "--max-tokens-total", 6_000, "-c", 10)
        endpoint.wait(lambda before=before: endpoint.stats.answered >= before + 12)
        process.kill()
        process.wait()
    assert batchrun("run", path, "--limit", 1, "--yes").code == 0  # no cap: the recorded tokens stay
    endpoint.change(latency_s=0)
    assert batchrun("run", path, "--max-tokens-total", 6_000, "--yes").code == 5
    assert tokens(endpoint) <= 6_000


def test_after_a_kill_every_command_shows_the_same_usage(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """`check`, `status`, the preview and the cap: the answers plus the maximum of the requests in flight."""
    endpoint.change(latency_s=0.05, latency_sigma=0)
    write_prompts(*MANY)
    path = job(endpoint)
    process = spawn("run", path, "--max-cost", 20, "-c", 10)
    endpoint.wait(lambda: endpoint.stats.answered >= 12)
    endpoint.change(latency_s=60)
    received = endpoint.stats.received
    endpoint.wait(lambda: endpoint.stats.received >= received + 8)
    process.kill()
    process.wait()

    found = batchrun("check", path, "--json").json
    spent_usd, set_aside_usd = found["spent_usd"], found["set_aside_usd"]
    assert 0 < spent_usd < billed_usd(endpoint) + 1e-9
    assert set_aside_usd > 8 * 20 * 1000 / 1e6  # at least the maximum answers of the requests in flight
    most = f"up to {spent_usd + set_aside_usd:.4f} USD with requests whose tokens are not known"
    words = f"spent so far: {spent_usd:.4f} USD, {most}"
    assert words in batchrun("check", path).stdout
    assert f"cost      {spent_usd:.4f} USD, {most}" in batchrun("status", "out").stdout
    status = batchrun("status", "out", "--json").json
    assert (status["cost_usd"], status["set_aside_usd"]) == pytest.approx((spent_usd, set_aside_usd), abs=1e-4)

    endpoint.change(latency_s=0)
    cap_usd = spent_usd + set_aside_usd + 0.001
    refused = batchrun("run", path, "--max-cost", cap_usd)
    assert refused.code == 2
    assert f" USD ({words}); the cap is" in refused.stderr
    stopped = batchrun("run", path, "--max-cost", cap_usd, "--yes", "--json")
    assert stopped.code == 5
    assert f"; {words}; raise --max-cost" in stopped.json["message"]
    assert f"cost      {spent_usd:.4f} USD, {most}" in stopped.stderr
    assert stopped.json["set_aside_usd"] == pytest.approx(set_aside_usd, abs=1e-4)


def test_a_resumed_run_shows_the_same_bound_of_its_cost_while_it_runs(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """What is in flight now is not counted as lost."""
    endpoint.change(latency_s=0.05, latency_sigma=0)
    write_prompts(*MANY)
    path = job(endpoint)
    process = spawn("run", path, "--max-cost", 20, "-c", 10)
    endpoint.wait(lambda: endpoint.stats.answered >= 12)
    endpoint.wait(lambda: batchrun("status", "out", "--json").json["completed"] > 0)
    process.kill()
    process.wait()
    before = batchrun("status", "out", "--json").json
    assert before["set_aside_usd"] > 0
    endpoint.change(latency_s=60)
    received = endpoint.stats.received
    process = spawn("run", path, "--max-cost", 20, "-c", 10)
    endpoint.wait(lambda: endpoint.stats.received >= received + 8)
    endpoint.wait(lambda: json.loads(Path("out/run.json").read_text())["pid"] == process.pid)
    endpoint.wait(lambda: len(batchrun("status", "out", "--json").json["executions"]) == 2)
    live, written = batchrun("status", "out", "--json").json, json.loads(Path("out/run.json").read_text())
    most = f"up to {before['cost_usd'] + before['set_aside_usd']:.4f} USD with requests whose tokens are not known"
    assert f"cost      {before['cost_usd']:.4f} USD, {most}" in batchrun("status", "out").stdout
    for summary in (live, written):
        assert summary["state"] == "running"
        assert summary["set_aside_usd"] == pytest.approx(before["set_aside_usd"])
        entries = (summary, *summary["models"], summary["executions"][-1])
        assert {entry["attempts"] for entry in entries} == {None}  # those of rows that wait are not counted yet
    process.kill()
    process.wait()


def test_an_execution_without_a_cap_keeps_the_amount_that_is_set_aside(
    spawn: Any, batchrun: Any, endpoint: Any
) -> None:
    """A later cap still counts it, for any cost of that execution, and even if it is killed."""
    endpoint.change(latency_s=60, latency_sigma=0)
    write_prompts(*MANY)
    path = job(endpoint)
    process = spawn("run", path, "--max-cost", 20, "-c", 10)
    endpoint.wait(lambda: endpoint.stats.received >= 8)
    process.kill()
    process.wait()
    set_aside_usd = batchrun("check", path, "--json").json["set_aside_usd"]
    assert set_aside_usd > 8 * 20 * 1000 / 1e6
    endpoint.change(latency_s=0.02)
    process = spawn("run", path, "-c", 10)
    endpoint.wait(lambda: endpoint.stats.answered >= 50)
    process.kill()
    process.wait()
    endpoint.change(latency_s=0)
    assert batchrun("run", path).code == 0
    found = batchrun("check", path, "--json").json
    assert found["spent_usd"] > set_aside_usd
    assert found["set_aside_usd"] == pytest.approx(set_aside_usd)


def test_both_caps_hold_together(batchrun: Any, endpoint: Any) -> None:
    """The message has the cap that is reached first."""
    write_prompts(*MANY)
    path = job(endpoint)
    summary = batchrun("run", path, "--max-cost", 1, "--max-tokens-total", 100_000, "--json").json
    assert (summary["exit_code"], "--max-cost" in summary["message"]) == (5, True)
    summary = batchrun("run", path, "--max-cost", 100, "--max-tokens-total", 4_000, "--yes", "--json").json
    assert (summary["exit_code"], "--max-tokens-total" in summary["message"]) == (5, True)
    assert tokens(endpoint) <= 4_000


def test_a_cap_on_tokens_needs_no_price(run: Any, endpoint: Any) -> None:
    """Only a cap on cost needs one."""
    assert run(write_prompts(*MANY), "--max-tokens", 5, "--max-tokens-total", 1_000).code == 5
    assert tokens(endpoint) <= 1_000


def most_usd(path: str) -> list[float]:
    """Return the most that each request of a job can cost, dearest first."""
    with Source(load_job(path)) as source:
        source.open()
        requests = [entry for batch in source.batches() for entry in batch if isinstance(entry, Request)]
    usages = [worst_usage(each.model, each.body) for each in requests]
    return sorted(((each.prompt_tokens or 0) * 100 + (each.completion_tokens or 0) * 1000) / 1e6 for each in usages)[
        ::-1
    ]


@pytest.mark.local_only("the driver notes the rows that workers have, of which some were not sent")
def test_each_of_several_kills_sets_aside_what_was_in_flight_and_no_more(
    spawn: Any, batchrun: Any, endpoint: Any
) -> None:
    """The server's books know how many requests that were, at the most that each can cost."""
    write_prompts(*MANY)
    path, in_flight, kills = job(endpoint), 8, 3
    dearest = most_usd(path)
    for kill in range(1, kills + 1):
        endpoint.change(latency_s=0.05, latency_sigma=0)
        answered = endpoint.stats.answered
        process = spawn("run", path, "--max-cost", 100, "-c", in_flight)
        endpoint.wait(lambda answered=answered: endpoint.stats.answered >= answered + 12)
        endpoint.change(latency_s=60)
        received = endpoint.stats.received
        endpoint.wait(lambda received=received: endpoint.stats.received >= received + in_flight)
        time.sleep(0.2)  # what was answered before is recorded
        process.kill()
        process.wait()
        found = batchrun("status", "out", "--json").json
        assert found["unrecorded"] == kill * in_flight
        most = sum(dearest[: kill * in_flight])
        assert 0.9 * most < found["set_aside_usd"] <= most + 1e-9
        assert found["cost_usd"] + found["set_aside_usd"] >= billed_usd(endpoint)
