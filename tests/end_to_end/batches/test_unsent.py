"""Batches that were written and never created: nothing of them is paid, so they are sent later, or forgotten."""

from pathlib import Path
from typing import Any

from harness.by_batch import BY_BATCH, MANY, assert_bought_once, books, state
from harness.prompts import write_prompts


def left_unsent(run: Any, endpoint: Any) -> None:
    """Leave batches that are written, and were never created."""
    endpoint.change(keys=["other"])
    write_prompts(*MANY)
    assert run(*BY_BATCH, "--batch-requests", 20).code == 4
    assert {each["status"] for each in state()["batches"]["open"]} == {"not_sent"}
    endpoint.change(keys=[])


def test_batches_that_were_not_sent_are_forgotten_when_ordinary_requests_answer_their_rows(
    run: Any, batchrun: Any, endpoint: Any
) -> None:
    """Else they would be listed for ever, and bought a second time by a later run in batches."""
    left_unsent(run, endpoint)
    assert run("in.jsonl", "--via", "requests").code == 0
    assert state()["batches"] is None
    assert "not sent" not in batchrun("status", "out").stdout
    write_prompts(*MANY, "one more")
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["lines"] == 1
    assert state()["completed"] == 41
    assert_bought_once(endpoint)


def test_batches_that_were_not_sent_are_written_again_after_an_edit(run: Any, endpoint: Any) -> None:
    """Nothing of them is paid, so there is nothing to ask for."""
    left_unsent(run, endpoint)
    write_prompts(*MANY[:10], *(f"{prompt} Explain it." for prompt in MANY[10:]))
    finished = run(*BY_BATCH)
    assert finished.code == 0, finished.stderr
    assert "in batches" not in finished.stderr.replace("sending in batches", "")
    assert books(endpoint)["lines"] == 40
    assert not Path("out/batches").exists()
    assert_bought_once(endpoint)
