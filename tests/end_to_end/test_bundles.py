"""Rows of embeddings, and samples of a row, that travel in one request, against the simulator over a real socket."""

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.prompts import results, write_prompts, write_rows

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
BUNDLED = ("--kind", "embeddings", "--rows-per-request", 64)


def assert_paid(endpoint: Any, rows: list[dict[str, Any]]) -> None:
    """Assert that the tokens of all rows are those that the endpoint has billed."""
    assert sum(row["prompt_tokens"] or 0 for row in rows) == endpoint.stats.prompt_tokens
    assert sum(row["completion_tokens"] or 0 for row in rows) == endpoint.stats.completion_tokens


def test_two_thousand_embeddings_take_32_requests(run: Any, batchrun: Any, endpoint: Any) -> None:
    """The books agree: requests, rows, tokens. The vectors are those of rows that were sent alone."""
    write_prompts(*(f"text {number} " + "x" * (number % 50) for number in range(2_000)))
    done = run("in.jsonl", *BUNDLED, "--json")
    assert done.code == 0
    assert (endpoint.stats.received, endpoint.stats.parts) == (32, 2_000)
    assert (done.json["completed"], done.json["attempts"]) == (2_000, 32)
    rows = results()
    assert_paid(endpoint, rows)
    assert done.json["prompt_tokens"] == endpoint.stats.prompt_tokens
    assert min(row["prompt_tokens"] for row in rows) > 0
    alone = ["run", "in.jsonl", "--kind", "embeddings", "-m", MODEL, "--base-url", endpoint.base_url]
    assert batchrun(*alone, "-o", "alone").code == 0
    assert endpoint.stats.received == 2_032
    assert [row["embedding"] for row in rows] == [row["embedding"] for row in results("alone")]


def test_the_replies_are_those_of_single_requests(run: Any, batchrun: Any) -> None:
    """An export has one line for each row, with one vector and its usage."""
    write_prompts("a", "b", "c")
    assert run("in.jsonl", *BUNDLED).code == 0
    assert batchrun("export", "out", "--format", "openai").code == 0
    lines = [orjson.loads(line) for line in Path("out/results.openai.jsonl").read_bytes().splitlines()]
    bodies = [line["response"]["body"] for line in lines]
    assert [[each["index"] for each in body["data"]] for body in bodies] == [[0]] * 3
    assert all(body["usage"].keys() == {"prompt_tokens", "total_tokens"} for body in bodies)


def test_three_bad_rows_of_64_fail_and_61_are_completed(run: Any, endpoint: Any) -> None:
    """Run again, they are not sent again."""
    bad = (0, 31, 63)
    write_prompts(*("[[simulate: 400]]" if number in bad else f"text {number}" for number in range(64)))
    done = run("in.jsonl", *BUNDLED, "--json")
    assert done.code == 1
    rows = results()
    assert [place for place, row in enumerate(rows) if row["status"] == "failed"] == [*bad]
    assert {row["error_kind"] for row in rows} == {None, "bad_request"}
    assert done.json["attempts"] == endpoint.stats.received
    received = endpoint.stats.received
    assert run("in.jsonl", *BUNDLED).code == 1
    assert endpoint.stats.received == received


@pytest.mark.local_only("what workers have answered in the last 0.1 s is bought again too: tests/on_ray counts it")
def test_a_killed_run_sends_only_what_was_in_flight_again(spawn: Any, run: Any, endpoint: Any) -> None:
    """Rows are settled, not bundles: what is left is bundled again."""
    endpoint.change(latency_s=0.05, latency_sigma=0)
    write_prompts(*(f"text {number}" for number in range(1_500)))
    flags = ("--kind", "embeddings", "--rows-per-request", "16")
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", *flags, "-c", "4")
    endpoint.wait(lambda: endpoint.stats.parts >= 200)
    process.kill()
    process.wait()
    endpoint.change(latency_s=0)
    done = run("in.jsonl", *BUNDLED)
    assert done.code == 0
    assert re.search(r"\b[\d,]+ rows had been sent and not recorded; sending again", done.stderr)  # not requests
    assert [row["status"] for row in results()] == ["completed"] * 1_500
    assert 1_500 <= endpoint.stats.parts <= 1_500 + 8 * 16


def test_a_row_whose_vector_has_changed_on_the_disk_is_bought_again_alone(
    run: Any, batchrun: Any, endpoint: Any
) -> None:
    """Export and salvage name it; the rows that share its reply are kept."""
    write_prompts(*(f"text {number}" for number in range(100)))
    assert run("in.jsonl", *BUNDLED).code == 0
    before = results()
    parts = endpoint.stats.parts
    with contextlib.closing(sqlite3.connect("out/checkpoint.sqlite")) as connection:
        (vectors, size) = connection.execute("SELECT vectors, size FROM replies WHERE id = 1").fetchone()
        ((row,),) = connection.execute("SELECT id >> 24 FROM outcomes WHERE reply = 65536 + 7").fetchall()
        at = 7 * size + 3
        changed = vectors[:at] + bytes([vectors[at] ^ 1]) + vectors[at + 1 :]
        connection.execute("UPDATE replies SET vectors = ? WHERE id = 1", (changed,))
        connection.commit()
    exported = batchrun("export", "out", "--format", "jsonl")
    assert exported.code == 3
    assert f"the answer of row {row} changed on the disk" in exported.stderr
    salvaged = batchrun("export", "out", "--salvage")
    assert f"the answer of row {row} changed on the disk" in salvaged.stderr
    assert endpoint.stats.parts == parts
    assert run("in.jsonl", *BUNDLED).code == 0
    assert endpoint.stats.parts == parts + 1
    assert [each["embedding"] for each in results()] == [each["embedding"] for each in before]


def test_another_run_takes_the_answers_to_bundles(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Nothing is sent for them, and their vectors are the same."""
    write_prompts(*(f"text {number}" for number in range(100)))
    assert run("in.jsonl", *BUNDLED).code == 0
    received = endpoint.stats.received
    flags = ("-m", MODEL, "--base-url", endpoint.base_url, "--reuse", "out", "-o", "again")
    assert batchrun("run", "in.jsonl", *BUNDLED, *flags).code == 0
    assert endpoint.stats.received == received
    assert [each["embedding"] for each in results("again")] == [each["embedding"] for each in results()]


def test_copies_are_not_sent(run: Any, endpoint: Any) -> None:
    write_prompts(*"abacaba")
    assert run("in.jsonl", *BUNDLED, "--dedupe").code == 0
    assert (endpoint.stats.received, endpoint.stats.parts) == (1, 3)
    rows = results()
    assert rows[0]["embedding"] == rows[2]["embedding"] == rows[6]["embedding"]
    assert_paid(endpoint, rows)


def test_a_server_that_is_busy_gets_bundles_again(run: Any, endpoint: Any) -> None:
    """A rejected bundle is one rejected request."""
    endpoint.change(concurrency_limit=3, latency_s=0.02)
    write_prompts(*(f"text {number}" for number in range(2_000)))
    done = run("in.jsonl", "--kind", "embeddings", "--rows-per-request", 20, "-c", 12, "--json")
    assert done.code == 0
    assert endpoint.stats.parts == 2_000
    assert done.json["attempts"] == endpoint.stats.received
    assert done.json["throttled"] == endpoint.stats.by_status["429"] == endpoint.stats.received - 100


def test_the_cap_on_tokens_holds(run: Any, endpoint: Any) -> None:
    """Raised, the run continues where it stopped."""
    write_prompts(*(f"text {number}" for number in range(500)))
    flags = ("--kind", "embeddings", "--rows-per-request", 10, "-c", 2)
    assert run("in.jsonl", *flags, "--max-tokens-total", 900, "--yes").code == 5
    assert 0 < endpoint.stats.prompt_tokens <= 900
    before = endpoint.stats.parts
    assert 0 < before < 500
    assert run("in.jsonl", *flags, "--max-tokens-total", 1_000_000).code == 0
    assert endpoint.stats.parts == 500


@pytest.mark.parametrize("kind", ["chat", "completions"])
def test_samples_pay_their_prompt_once(run: Any, endpoint: Any, kind: str) -> None:
    """Each is one output row; asked for more, the run sends one request for those that are left."""
    write_prompts(*(f"Label text number {number}." for number in range(20)))
    flags = ("--kind", kind, "--samples-per-request", 8)
    assert run("in.jsonl", *flags, "--num-samples", 3).code == 0
    assert (endpoint.stats.received, endpoint.stats.parts) == (20, 60)
    assert_paid(endpoint, results())
    done = run("in.jsonl", *flags, "--num-samples", 8, "--json")
    assert done.code == 0
    assert (endpoint.stats.received, endpoint.stats.parts) == (40, 160)
    rows = results()
    assert [(row["row"], row["sample"]) for row in rows] == [(row, each) for row in range(20) for each in range(8)]
    assert all(row["response"] for row in rows)
    assert_paid(endpoint, rows)
    assert done.json["attempts"] == 40


def test_samples_that_do_not_fit_the_schema_are_repaired_alone(run: Any, endpoint: Any) -> None:
    schema = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}, "required": ["label"]}
    Path("s.json").write_bytes(orjson.dumps(schema))
    write_rows("in.jsonl", {"prompt": "one"}, {"prompt": "[[simulate: off_schema x1]] two"})
    done = run("in.jsonl", "--schema", "s.json", "--num-samples", 3, "--samples-per-request", 3, "--json")
    assert done.code == 0
    # Two bundles, three repairs, and one more: the last message of a repair is another one, with its own first attempt.
    assert (endpoint.stats.received, endpoint.stats.parts) == (6, 10)
    assert done.json["total_tokens"] == endpoint.stats.prompt_tokens + endpoint.stats.completion_tokens


def test_a_job_that_cannot_bundle_is_refused(run: Any, endpoint: Any) -> None:
    """Before anything is sent; the message names the flag."""
    write_prompts("a")
    done = run("in.jsonl", "--rows-per-request", 64)
    assert done.code == 2
    assert "--rows-per-request is set; requests of the kind chat have one row each" in done.stderr
    assert run("in.jsonl", "--samples-per-request", 2, "--stream").code == 2
    assert endpoint.stats.received == 0
