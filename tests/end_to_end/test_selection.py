"""Runs of some rows of an input, and then of more: nothing is bought twice, counted at the endpoint."""

import json
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from batchrun.checkpoint.queue import MAX_AGE_S

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

ROWS = [{"id": f"r{row}", "prompt": f"number {row}", "stars": row % 5 or None} for row in range(1_200)]


def write(rows: list[dict[str, Any]] = ROWS) -> str:
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "in.jsonl"


def rows_of() -> list[int]:
    rows: list[int] = pq.read_table("out/results.parquet")["row"].to_pylist()
    return rows


def test_a_random_pilot_and_then_the_rest_are_bought_once(run: Any, batchrun: Any, endpoint: Any) -> None:
    """The pilot grows, then all rows follow; the results keep the numbers of the rows."""
    name = write()
    assert run(name, "--sample", 50).code == 0
    pilot = rows_of()
    assert (len(pilot), endpoint.stats.answered) == (50, 50)
    assert pilot == sorted(pilot) != [*range(50)]
    assert run(name, "--sample", 80).code == 0
    assert endpoint.stats.answered == 80
    assert set(pilot) < set(rows_of())
    prompts = pq.read_table("out/results.parquet")["prompt"].to_pylist()
    assert prompts == [f"number {row}" for row in rows_of()]
    checked = batchrun(
        "check", name, "-m", "m", "--base-url", endpoint.base_url, "-o", "checked", "--sample", 80, "--json"
    )
    assert (checked.json["rows"], checked.json["ahead"]["requests"]) == (80, 80)
    assert run(name).code == 0
    assert endpoint.stats.answered == 1_200
    assert rows_of() == [*range(1_200)]
    assert run(name, "--sample", 50).code == 0
    assert rows_of() == pilot
    assert run(name).code == 0
    assert endpoint.stats.answered == 1_200
    assert rows_of() == [*range(1_200)]


def test_rows_that_meet_a_condition_are_sent_in_a_random_order(run: Any, endpoint: Any) -> None:
    done = run(write(), "--where", "stars > 2", "--shuffle", "-c", 1, "--json")
    assert (done.code, done.json["rows"], endpoint.stats.answered) == (0, 480, 480)
    table = pq.read_table("out/results.parquet")
    assert table["row"].to_pylist() == [row for row in range(1_200) if row % 5 > 2]
    sent = table.sort_by("finished_at")["row"].to_pylist()
    assert sent != sorted(sent)
    early = sent[:240]
    assert 80 < sum(row < 600 for row in early) < 160  # five standard deviations around a half
    assert run(write(), "--shuffle").code == 0
    assert endpoint.stats.answered == 1_200


@pytest.mark.local_only("what workers have answered in the last 0.1 s is bought again too: tests/on_ray counts it")
@pytest.mark.parametrize("note", ["", "long " * 4_000], ids=["one pass", "several passes"])
def test_an_interrupted_and_killed_run_in_a_random_order_resumes_and_buys_nothing_twice(
    spawn: Any, run: Any, endpoint: Any, note: str
) -> None:
    """Ctrl-C loses nothing; a kill loses what was in flight or is so young that a busy machine has not written it."""
    name, at_most, limit = write([row | {"note": note} for row in ROWS]), "-c", 8
    endpoint.change(latency_s=0.02)
    command = ["run", name, "--shuffle", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", at_most, limit]
    for wanted, number in ((200, signal.SIGINT), (600, signal.SIGKILL)):
        process = spawn(*command)
        endpoint.wait(lambda wanted=wanted: endpoint.stats.answered >= wanted)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == (130 if number == signal.SIGINT else -number)
        assert endpoint.stats.answered < 1_200
        if number == signal.SIGINT:
            assert len(rows_of()) == endpoint.stats.answered
            assert max(rows_of()) > 600
    assert run(name, "--shuffle", at_most, limit).code == 0
    assert rows_of() == [*range(1_200)]
    lost = endpoint.stats.answered - 1_200
    assert lost <= limit + MAX_AGE_S * limit / 0.02


def test_a_condition_that_cannot_be_used_is_refused_before_anything_is_sent(run: Any, endpoint: Any) -> None:
    Path("in.csv").write_text("prompt,stars\na,4\nb,5\n")
    refused = run("in.csv", "--where", "stars > 4")
    assert refused.code == 2
    assert "by the filter float" in refused.stderr
    assert "did you mean stars?" in run("in.csv", "--where", "star | int > 4").stderr
    assert "two values are compared with ==" in run("in.csv", "--where", "stars = 4").stderr
    assert endpoint.stats.answered == 0
    assert run("in.csv", "--where", "stars | int > 4").code == 0
    assert endpoint.stats.answered == 1
