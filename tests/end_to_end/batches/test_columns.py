"""Jobs that have everything, sent in both ways: the results are the same, column by column."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from harness.ledger import serving

from batchrun.simulator import Settings

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

WAYS = {"latency_s", "finished_at", "endpoint", "response_id"}
"""Columns that tell the way of sending; the server makes up a new id for each answer."""

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}

FINAL = ("400", "content_filter", "context_length", "413", "422", "filtered")
"""Faults that fail a row at once."""

INVALID = ("off_schema", "null_content")
"""Answers that do not fit, however often they are asked again."""

PASSING = ("500", "503", "429", "empty_choices", "off_schema", "null_content")
"""Faults that pass."""


def differences(batchrun: Any, *asked: Any) -> dict[str, list[Any]]:
    """Return the columns that differ between the two ways, with both values of each row that differs.

    Each way has its own server, which counts how often a request was sent, and has billed what the run says it paid.
    """
    for folder, flags in (("plain", ()), ("batched", ("--via", "batch"))):
        settings = Settings(latency_s=0, concurrency_limit=None, batch_validation_s=0.01)
        with serving(settings) as (base_url, ledger):
            finished = batchrun("run", "in.jsonl", *asked, *flags, "--base-url", base_url, "-o", folder)
        assert finished.code in (0, 1), finished.stderr
        [entry] = pq.read_table(f"{folder}/usage.parquet").to_pylist()
        assert (entry["prompt_tokens"], entry["completion_tokens"]) == (ledger.prompt_tokens, ledger.completion_tokens)
    plain, batched = (pq.read_table(f"{folder}/results.parquet") for folder in ("plain", "batched"))
    assert plain.schema == batched.schema
    found = {}
    for name in set(plain.column_names) - WAYS:
        pairs = zip(plain[name].to_pylist(), batched[name].to_pylist(), strict=True)
        found[name] = [(row, *pair) for row, pair in enumerate(pairs) if pair[0] != pair[1]]
    return {name: rows for name, rows in found.items() if rows}


def write_lines(lines: list[dict[str, Any]]) -> None:
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_rows_of_all_sorts_have_the_results_of_the_ordinary_way(batchrun: Any) -> None:
    """Repairs are asked with the first question too, refusals are final, and each answer is paid for once."""
    prompts = [f"Case {number}: what is it?" for number in range(20)]
    prompts += [f"Always. [[simulate: {fault}]]" for fault in (*FINAL, *INVALID)]
    prompts += [f"Once. [[simulate: {fault} x1]]" for fault in PASSING]
    prompts += ["Twice. [[simulate: off_schema x2]]", "Both. [[simulate: 500 x1]] [[simulate: off_schema x1]]"]
    lines: list[dict[str, Any]] = [{"prompt": prompt, "id": f"label {len(prompt)}"} for prompt in prompts]
    lines += [{"prompt": "Cut short.", "params": {"max_tokens": 2}}, {"prompt": "All.", "params": {"logprobs": True}}]
    for number, line in enumerate(lines):  # the server counts attempts by seed, and repairs of all rows ask the same
        line["params"] = {**line.get("params", {}), "seed": 10 * number}
    write_lines(lines)
    Path("schema.json").write_text(json.dumps(SCHEMA))
    schema = ("--schema", "schema.json", "--num-samples", 2)
    assert differences(batchrun, "-m", MODEL, *schema, "--max-attempts", 9) == {}


def test_lines_of_several_kinds_have_the_results_of_the_ordinary_way(batchrun: Any) -> None:
    texts = [f"Case {number}" for number in range(12)] + ["Always. [[simulate: 400]]", "Once. [[simulate: 500 x1]]"]
    bodies: list[tuple[str, dict[str, Any]]] = []
    for number, text in enumerate(texts):
        asked = {"model": MODEL, "temperature": 0.5, "seed": number}
        bodies += [
            ("chat/completions", {**asked, "messages": [{"role": "user", "content": text}], "max_tokens": 3 + number}),
            ("responses", {"model": MODEL, "input": text, "max_output_tokens": 4 + number}),
            ("completions", {**asked, "prompt": text, "max_tokens": 5}),
            ("embeddings", {"model": MODEL, "input": text}),
        ]
    write_lines(
        [
            {"custom_id": f"same {number % 9}", "method": "POST", "url": f"/v1/{path}", "body": body}
            for number, (path, body) in enumerate(bodies)
        ]
    )
    assert differences(batchrun) == {}
