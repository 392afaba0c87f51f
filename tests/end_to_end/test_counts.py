"""Every number of rows that is printed or written is true: what the input has, and what the server's books say."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts

LIMITED = ("--max-duration", "1s")


def totals(text: str) -> set[str]:
    """Return every total of rows in a log: behind a slash, and what is called left."""
    return set(re.findall(r"\d/((?:about )?[\d,]+) rows", text))


@pytest.mark.local_only("the deadline is over before workers have started")
@pytest.mark.parametrize("longest_first", [False, True])
def test_an_input_that_is_sorted_by_length_is_counted_exactly(
    run: Any, batchrun: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch, *, longest_first: bool
) -> None:
    """In log, summary, run.json and check, also when the run is stopped. A cap that fits refuses nobody."""
    monkeypatch.setattr("batchrun.engine.row_counter._QUICK_S", 30)  # a busy machine counts slowly
    rows = 30_000
    prompts = sorted(("x" * (1 + row // 100) for row in range(rows)), key=len, reverse=longest_first)
    path = write_prompts(*prompts)
    endpoint.change(latency_s=0.05)
    flags = ("--max-tokens", 5, "--max-tokens-total", 4_000_000)
    done = run(path, *flags, *LIMITED)
    state = json.loads(Path("out/run.json").read_text())
    answered = endpoint.stats.answered
    assert done.code == 5
    assert 0 < answered < rows
    assert f"{rows:,} requests, " in done.stderr
    assert f"{rows - answered:,} rows are left; max_duration 1s is over" in done.stderr
    assert f", of {rows:,} (" in done.stderr
    assert "about" not in done.stderr.partition("\n")[2].replace("about 0", "")  # only tokens are estimated
    assert totals(done.stderr) <= {f"{rows:,}"}
    assert (state["total_rows"], state["total_is_exact"], state["rows"]) == (rows, True, answered)
    checked = batchrun(
        "check",
        path,
        *flags,
        "-m",
        "meta-llama/Llama-3.1-8B-Instruct",
        "-o",
        "out",
        "--json",
        "--base-url",
        endpoint.base_url,
    )
    report = json.loads(checked.stdout)
    assert (report["rows"], report["settled"], report["ahead"]["requests"]) == (rows, answered, rows - answered)


def test_csv_records_with_newlines_are_counted_as_rows(
    run: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these rows has three lines. Also where another process counts while the run sends."""
    with Path("in.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt"])
        writer.writerows([f'line one\nof "row" {row}\n' + "x" * (row // 3)] for row in range(3_000))
    monkeypatch.setattr("batchrun.engine.row_counter._QUICK_BYTES", 0)
    endpoint.change(latency_s=0.2, concurrency_limit=50)
    done = run("in.csv", "-c", 50, "--max-duration", "7s")
    state = json.loads(Path("out/run.json").read_text())
    assert (state["total_rows"], state["total_is_exact"], state["rows"]) == (3_000, True, endpoint.stats.answered)
    assert done.code == 5
    assert f"{3_000 - endpoint.stats.answered:,} rows are left; " in done.stderr


def test_after_rows_are_inserted_check_and_run_count_the_same(run: Any, batchrun: Any, endpoint: Any) -> None:
    """The inserted rows, and nothing else, as the server's books say."""
    old = [f"old {row}" for row in range(2_000)]
    run(write_prompts(*old))
    write_prompts(*(f"new {row}" for row in range(50)), *old)
    flags = ("-m", "meta-llama/Llama-3.1-8B-Instruct", "-o", "out", "--base-url", endpoint.base_url)
    assert "50 to send, 2,000 settled already" in batchrun("check", "in.jsonl", *flags).stdout
    before = endpoint.stats.received
    done = run("in.jsonl")
    assert "the input changed: 2,000 rows kept, 50 to send, 0 leaving the results" in done.stderr
    assert "50 requests, " in done.stderr
    assert endpoint.stats.received - before == 50
    assert "2,050 of 2,050 rows completed" in done.stderr


def test_with_dedupe_check_counts_what_the_run_sends(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Copies are named, before the first run and after an edit."""
    flags = ("-m", "meta-llama/Llama-3.1-8B-Instruct", "-o", "out", "--base-url", endpoint.base_url, "--dedupe")
    for letters, sent, copies in (("a" * 60 + "b" * 30, 2, 88), ("c" * 90 + "ba", 1, 89)):
        write_prompts(*letters)
        checked = batchrun("check", "in.jsonl", *flags)
        assert f"{sent} to send" in checked.stdout
        assert f"{copies} more ask the same as others and get a copy of the answer, at no cost" in checked.stdout
        before = endpoint.stats.received
        assert run("in.jsonl", "--dedupe", "--yes").code == 0
        assert endpoint.stats.received - before == sent
