"""What runs by batches settle: the results of the ordinary way, and the lines of the provider."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from harness.by_batch import (
    BY_BATCH,
    MANY,
    MODEL,
    assert_bought_once,
    books,
    files,
    state,
)
from harness.prompts import results, write_prompts

from batchrun.endpoint.batches.client import BatchClient
from batchrun.job.batch_providers import batch_provider
from batchrun.records import Fault

WAYS = {"latency_s", "finished_at", "endpoint", "response_id"}
"""Columns that tell the way of sending; the server makes up a new id for each answer."""


def test_the_results_are_those_of_the_ordinary_way(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Column by column, but for those that tell the way; rows may have the same label of the user."""
    lines = [{"custom_id": f"same-{number % 7}", "prompt": prompt} for number, prompt in enumerate(MANY)]
    lines[5]["prompt"] += " [[simulate: 400]]"
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("in.jsonl", "--seed", 1, "--num-samples", 2).code == 1
    Path("out").rename("plain")
    assert run(*BY_BATCH, "--seed", 1, "--num-samples", 2, "--batch-requests", 30).code == 1
    plain, batched = pq.read_table("plain/results.parquet"), pq.read_table("out/results.parquet")
    assert plain.schema == batched.schema
    differing = [name for name in plain.column_names if plain[name].to_pylist() != batched[name].to_pylist()]
    assert set(differing) <= WAYS
    assert {row["endpoint"].endswith(" (batch)") for row in results()} == {True}
    assert books(endpoint)["by_status"] == {"completed": 3}
    assert not Path("out/batches").exists()


def test_lines_of_a_batch_file_are_passed_on_under_labels_of_our_own(run: Any, endpoint: Any) -> None:
    """The user's labels, which may be the same twice, are those of the results."""
    bodies = [
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Grüße"}],
            "temperature": 0.1,
            "user": "u",
            "top_p": 1.0,
        },
        {"model": MODEL, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
    ]
    lines = [{"custom_id": "same", "method": "POST", "url": "/v1/chat/completions", "body": body} for body in bodies]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(*BY_BATCH, model=None).code == 0
    [file] = files(endpoint)
    sent = [json.loads(line) for line in file.content.splitlines()]
    assert [line["body"] for line in sent] == bodies
    assert [line["custom_id"] for line in sent] == ["r0-m0-s0", "r1-m0-s0"]
    assert [row["custom_id"] for row in results()] == ["same", "same"]


def test_lines_that_may_pass_go_into_the_next_batch_and_their_attempts_count(run: Any, endpoint: Any) -> None:
    write_prompts(*MANY[:10], "Now this. [[simulate: 500 x1]]", "And this. [[simulate: 429 x2]]")
    assert run(*BY_BATCH).code == 0
    assert [row["attempts"] for row in results()] == [1] * 10 + [2, 3]
    assert_bought_once(endpoint)
    assert state()["attempts"] == 15


def test_answers_that_do_not_fit_the_schema_are_asked_again_in_the_next_batch(run: Any, endpoint: Any) -> None:
    Path("schema.json").write_text('{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}')
    write_prompts(*MANY[:5], "This one. [[simulate: off_schema x1]]")
    finished = run(*BY_BATCH, "--schema", "schema.json")
    assert finished.code == 0, finished.stderr
    assert [row["attempts"] for row in results()][:5] == [1] * 5
    assert results()[5]["attempts"] > 1
    assert state()["completion_tokens"] == endpoint.stats.completion_tokens


def test_the_lines_of_the_provider_are_exported_under_the_labels_of_the_user(
    run: Any, batchrun: Any, endpoint: Any
) -> None:
    """Each with its id, that of its request and its body, byte for byte."""
    lines = [{"custom_id": f"label-{number}", "prompt": prompt} for number, prompt in enumerate(MANY[:5])]
    lines[3]["prompt"] += " [[simulate: 400]]"
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(*BY_BATCH).code == 1
    assert batchrun("export", "out", "--format", "openai").code == 0
    theirs = [line for file in files(endpoint, "batch_output") for line in file.content.splitlines()]
    ours = [line for path in Path("out").glob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert len(ours) == 5
    for line in ours:
        label = json.loads(line)["custom_id"]
        sent = f"r{label.removeprefix('label-')}-m0-s0"
        assert line.replace(json.dumps(label).encode(), json.dumps(sent).encode()) in theirs


def test_the_batches_of_together_are_spoken_too(run: Any, spawn: Any, endpoint: Any, monkeypatch: Any) -> None:
    """Another place and purpose of files, no metadata, other objects: a batch is found again by its file."""
    together = batch_provider("https://api.together.xyz/v1")
    monkeypatch.setattr("batchrun.engine.batches.parts.batch_provider", lambda base_url: together)
    endpoint.change(batch_together=True)
    write_prompts(*MANY, "This one. [[simulate: 400]]")
    create, attempts = BatchClient.create, []

    async def unheard(self: Any, *asked: Any) -> Any:
        attempts.append(await create(self, *asked))
        return Fault("connection", "cut", 0.0, True)

    monkeypatch.setattr(BatchClient, "create", unheard)
    assert run(*BY_BATCH).code == 1
    assert len(attempts) == 1
    assert (state()["completed"], state()["failed"]) == (40, 1)
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)
