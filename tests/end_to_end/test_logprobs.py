"""Log probabilities, asked for by the job or by rows, as a column of the results."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from harness.prompts import columns, results, write_prompts, write_rows

from batchrun.answers.logprobs import LOGPROBS


def test_log_probabilities_become_a_typed_column(run: Any) -> None:
    """The tokens of a row together are its text."""
    write_prompts("a", "b")
    job = '[input]\npath = "in.jsonl"\n[model]\nlogprobs = true\ntop_logprobs = 2\n[output]\ndir = "out"\n'
    Path("job.toml").write_text(job, encoding="utf-8")
    assert run("job.toml").code == 0
    assert pq.read_schema("out/results.parquet").field("logprobs").type == LOGPROBS
    for row in results():
        assert "".join(each["token"] for each in row["logprobs"]) == row["response"]
        assert all(each["logprob"] < 0 and len(each["top_logprobs"]) == 2 for each in row["logprobs"])


def test_rows_that_ask_for_log_probabilities_get_the_column(run: Any) -> None:
    """Other rows have null; a column of the input with this name keeps it."""
    write_rows("in.jsonl", {"prompt": "a"}, {"prompt": "b", "params": {"logprobs": True}, "logprobs": "mine"})
    assert run("in.jsonl").code == 0
    one, two = results()
    assert one["response_logprobs"] is None
    assert "".join(each["token"] for each in two["response_logprobs"]) == two["response"]
    assert two["logprobs"] == "mine"


def test_a_run_without_log_probabilities_has_no_column_for_them(run: Any) -> None:
    write_prompts("a")
    assert run("in.jsonl").code == 0
    assert "logprobs" not in columns()
