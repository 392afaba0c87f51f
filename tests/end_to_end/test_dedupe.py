"""Identical prompts are sent once; prompts with the same prefix are sent together."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from harness.engines import IS_RAY
from harness.prompts import results, write_prompts, write_rows

from batchrun.simulator import prefixes

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
OTHER = "openai/gpt-oss-20b"


def bought(endpoint: Any) -> list[int]:
    return sorted(endpoint.stats.answered_by_request.values())


def test_identical_requests_are_sent_once(run: Any, endpoint: Any) -> None:
    """Every copy has a row with the answer, but without attempts, tokens and cost. The totals are the bill."""
    write_prompts(*"abacaba")
    price = "input_usd_per_mtok = 1\noutput_usd_per_mtok = 2\n"
    Path("job.toml").write_text(f'[input]\npath = "in.jsonl"\ndedupe = true\n[prices."{MODEL}"]\n{price}')
    done = run("job.toml", "--json")
    assert done.code == 0
    assert endpoint.stats.received == 3
    rows = results()
    assert [row["attempts"] for row in rows] == [1, 1, 0, 1, 0, 0, 0]
    assert [row["status"] for row in rows] == ["completed"] * 7
    first, copies = rows[0], [rows[place] for place in (2, 4, 6)]
    assert {copy["response"] for copy in copies} == {first["response"]}
    assert {(copy["cost_usd"], copy["total_tokens"], copy["latency_s"]) for copy in copies} == {(0.0, 0, None)}
    assert [copy["custom_id"] for copy in copies] == ["2", "4", "6"]
    assert done.json["completed"] == 7
    assert done.json["copies"] == 7 - endpoint.stats.received
    assert "copies    4 rows have the answer of a row that asks the same, at no cost" in done.stderr
    assert done.json["attempts"] == 3
    assert done.json["total_tokens"] == sum(row["total_tokens"] for row in rows)
    assert done.json["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in rows))


def test_without_dedupe_every_copy_is_sent(run: Any, endpoint: Any) -> None:
    """Dedupe is off by default, because answers differ if there is a temperature."""
    assert run(write_prompts(*"aab")).code == 0
    assert endpoint.stats.received == 3


def test_copies_wait_for_the_first_request(run: Any, endpoint: Any) -> None:
    """Their number does not matter."""
    endpoint.change(latency_s=0.3)
    assert run(write_prompts(*["a"] * 3000, "b"), "--dedupe").code == 0
    assert bought(endpoint) == [1, 1]
    assert len({row["response"] for row in results()}) == 2
    assert len(results()) == 3001


def test_every_model_and_sample_is_sent(run: Any, endpoint: Any) -> None:
    """Only requests to the same model and for the same sample are copies."""
    flags = ("--dedupe", "-m", OTHER, "--num-samples", 2, "--json")
    assert run(write_prompts(*"aba"), *flags).json["completed"] == 12
    assert endpoint.stats.received == 8
    first, _, third = [results()[start : start + 4] for start in (0, 4, 8)]
    places = [(row["model"], row["sample"], row["response"]) for row in first]
    assert [(row["model"], row["sample"], row["response"]) for row in third] == places


def test_copies_share_a_failure_and_are_retried_once(run: Any, endpoint: Any) -> None:
    """--retry-failed sends one of them. The canary that confirms the failure is the third request."""
    done = run(write_prompts("[[simulate: 400 x1]]", "b", "[[simulate: 400 x1]]"), "--dedupe", "--json")
    assert (done.code, done.json["failed"], endpoint.stats.received) == (1, 2, 3)
    assert {row["error_kind"] for row in results()} == {"bad_request", None}
    done = run("in.jsonl", "--dedupe", "--retry-failed", "--json")
    assert (done.code, done.json["failed"], endpoint.stats.received) == (0, 0, 4)


def test_a_resumed_run_sends_no_prompt_twice(run: Any, endpoint: Any) -> None:
    """Also with a higher limit, moved rows and new rows: each prompt is sent once in all executions."""
    prompts = [str(number % 7) for number in range(50)]
    write_prompts(*prompts)
    assert run("in.jsonl", "--dedupe", "--limit", 10).code == 0
    assert run("in.jsonl", "--dedupe").code == 0
    write_prompts(*reversed(prompts), "new", "new", "3")
    assert run("in.jsonl", "--dedupe").code == 0
    assert bought(endpoint) == [1] * 8
    assert [row["prompt"] for row in results()] == [*reversed(prompts), "new", "new", "3"]
    answers = {(row["prompt"], row["response"]) for row in results()}
    assert len(answers) == 8


def test_dedupe_works_with_broken_rows_and_images(run: Any, endpoint: Any) -> None:
    """A broken row is not a copy of another row."""
    photo = "https://example.com/a.png"
    rows = [{"prompt": "a", "photo": photo}, {"x": 1}, {"prompt": "a", "photo": photo}, {"x": 1}, {"prompt": "a"}]
    assert run(write_rows("in.jsonl", *rows), "--dedupe", "--images", "photo").code == 1
    assert endpoint.stats.received == 2
    assert [row["error_kind"] for row in results()] == [None, "bad_row", None, "bad_row", None]


JOB = """
[input]
path = "in.jsonl"
order = "{order}"
[prompt]
system = "{{{{ document }}}}"
[model]
name = "meta-llama/Llama-3.1-8B-Instruct"
stream = "auto"
"""


def test_prompts_with_the_same_prefix_are_served_from_the_cache(
    run: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions about one document are sent together, so a small cache is enough. Results keep the input order."""
    monkeypatch.setattr(prefixes, "_CAPACITY", 4)
    rows = [{"document": f"Document {number % 20}. " * 20, "prompt": f"Question {number}?"} for number in range(200)]
    write_rows("in.jsonl", *rows)
    cached = {}
    for order in ("input", "prefix"):
        Path("job.toml").write_text(JOB.format(order=order))
        assert run("job.toml", "--restart", "-c", 8).code == 0
        assert [row["prompt"] for row in results()] == [row["prompt"] for row in rows]
        cached[order] = sum(row["cached_tokens"] for row in results())
        prompt_tokens = sum(row["prompt_tokens"] for row in results())
    # Two workers send at the same time, so that some rows arrive in another order.
    assert cached["input"] <= (0.05 * prompt_tokens if IS_RAY else 0)
    assert cached["prefix"] > 0.6 * prompt_tokens


def test_a_run_in_prefix_order_can_be_resumed(run: Any, endpoint: Any, when: Any) -> None:
    """Every row is answered once."""
    endpoint.change(latency_s=0.02)
    write_rows("in.jsonl", *({"document": str(row % 3), "prompt": str(row)} for row in range(100)))
    Path("job.toml").write_text(JOB.format(order="prefix"))
    when(
        lambda: endpoint.stats.received >= 30, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    )
    assert run("job.toml", "-c", 4).code == 130
    assert 0 < len(results()) < 100
    assert run("job.toml", "-c", 50).code == 0
    assert bought(endpoint) == [1] * 100
    assert [row["prompt"] for row in results()] == [str(row) for row in range(100)]


def test_failed_rows_that_are_sent_again_are_counted_as_the_server_counts_them(run: Any, endpoint: Any) -> None:
    """Copies are not sent: neither the preview nor the message counts them, and broken rows are not requests."""
    bad, worse = "bad [[simulate: 400 x1]]", "worse [[simulate: 400 x1]]"
    write_prompts(bad, "fine", bad, worse, bad, "fine", worse)
    with Path("in.jsonl").open("a") as file:
        file.write("not JSON\n")
    assert run("in.jsonl", "--dedupe").code == 1
    before = endpoint.stats.received
    done = run("in.jsonl", "--dedupe", "--retry-failed")
    assert endpoint.stats.received - before == 2
    assert " 2 requests, " in done.stderr
    assert "sending again: 2 failed rows" in done.stderr
    assert [row["status"] for row in results()] == ["completed"] * 7 + ["failed"]
