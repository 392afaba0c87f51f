"""Token counts that no answer states are null in every total, and not 0."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import write_prompts
from harness.serving import answering

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


def answer(usage: dict[str, Any] | None) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return {"id": "x", "choices": [choice], **({} if usage is None else {"usage": usage})}


PLAIN = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize(
    ("usage", "totals", "line"),
    [
        (None, [None] * 5, "no answer states them all"),
        (PLAIN, [6, 4, 10, None, None], "6 in, 4 out"),
        ({**PLAIN, "prompt_tokens_details": {"cached_tokens": 0}}, [6, 4, 10, 0, None], "6 in, 4 out"),
        ({"completion_tokens": 2}, [None] * 5, "no answer states them all"),
    ],
)
def test_a_total_that_no_answer_states_is_null_everywhere(
    batchrun: Any, usage: dict[str, Any] | None, totals: list[int | None], line: str
) -> None:
    """In usage.parquet, run.json, the last lines, status, report and the results' footer; `status` reads them again.

    An answer that states only a part of its tokens is in no total, as its cost is in none.
    """
    with answering(lambda body: (200, answer(usage))) as url:
        done = batchrun("run", write_prompts("a", "b"), "-m", "m", "--base-url", url, "-o", "out")
    assert done.code == 0
    assert f"tokens    {line}\n" in done.stderr
    (row,) = pq.read_table("out/usage.parquet").to_pylist()
    assert [row[name] for name in COUNTS] == totals
    summary = json.loads(Path("out/run.json").read_text())
    assert [summary[name] for name in COUNTS[:3]] == totals[:3]
    assert [summary["models"][0][name] for name in COUNTS] == totals
    assert [summary["executions"][0][name] for name in COUNTS[:2]] == totals[:2]
    footer = json.loads(pq.read_metadata("out/results.parquet").metadata[b"batchrun.usage"])
    assert [footer[0][name] for name in COUNTS] == totals
    status = batchrun("status", "out")
    assert f"tokens    {line}\n" in status.stdout + status.stderr
    assert batchrun("report", "out").code == 0
    assert ("not stated" in Path("out/report.html").read_text()) == (None in totals[:2])
    assert batchrun("export", "out", "--card").code == 0
