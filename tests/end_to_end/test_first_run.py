"""A run whose input is another run, as users run both."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def test_answers_of_a_run_are_judged_and_none_is_bought_twice_as_it_grows(batchrun: Any, endpoint: Any) -> None:
    """The judge's own score does not hide behind the score of the first run."""
    rows = [{"id": f"q{row}", "question": f"Question {row}?", "answer": "yes"} for row in range(6)]
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("first.toml").write_text(
        '[input]\npath = "in.jsonl"\n[prompt]\nuser = "{{ question }}"\n[evaluate]\ntarget = "answer"\n'
        f'[model]\nnames = ["{MODEL}"]\nnum_samples = 2\n[endpoint]\nbase_url = "{endpoint.base_url}"\n'
    )
    Path("second.toml").write_text(
        '[input]\nrun = "runs/first"\n[prompt]\nuser = "Judge {{ first.response }} to {{ question }}"\n'
        '[evaluate]\ntarget = "answer"\nscorer = "contains"\n'
        f'[model]\nname = "{MODEL}"\n[endpoint]\nbase_url = "{endpoint.base_url}"\n'
    )
    assert batchrun("run", "first.toml", "--limit", 2).code == 0
    assert batchrun("run", "second.toml").code == 0
    assert endpoint.stats.answered == 8
    assert batchrun("run", "first.toml").code == 0
    checked = batchrun("check", "second.toml", "--json").json
    assert (checked["rows"], checked["settled"], checked["ahead"]["requests"]) == (12, 4, 8)
    assert batchrun("run", "second.toml").code == 0
    assert endpoint.stats.answered == 12 + 12
    assert batchrun("run", "second.toml").code == 0
    assert endpoint.stats.answered == 24
    table = pq.read_table("runs/second/results.parquet")
    first = pq.read_table("runs/first/results.parquet")
    assert table["custom_id"].to_pylist() == [f"q{row}/{MODEL}/{sample}" for row in range(6) for sample in range(2)]
    assert table["first.response"].to_pylist() == first["response"].to_pylist()
    assert table["first.score"].to_pylist() == first["score"].to_pylist()
    assert {"score", "response", "question", "answer"} <= {*table.schema.names}
    assert not any(name.startswith("input_") for name in table.schema.names)


def test_a_run_of_a_run_gets_a_directory_of_its_own(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Without -o it is not the directory of the first run."""
    Path("in.jsonl").write_text('{"prompt": "a"}\n')
    assert batchrun("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url).code == 0
    command = ("run", "runs/in", "-t", "{{ first.response }}", "-m", MODEL, "--base-url", endpoint.base_url)
    assert batchrun(*command).code == 0
    assert batchrun(*command).code == 0
    assert endpoint.stats.answered == 2
    assert pq.read_table("runs/in_next/results.parquet")["first.row"].to_pylist() == [0]
