"""Batches that a provider does not take for its queue or their size: nothing is bought twice, by its books."""

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.by_batch import BY_BATCH, MANY, MODEL, assert_bought_once, books, state
from harness.prompts import write_prompts, write_rows

from batchrun.report.progress import line_text
from batchrun.results.state import figures_of


def statuses(endpoint: Any) -> Counter[str]:
    """Return how many batches that are not collected have each status; before the first, the checkpoint is empty."""
    found = figures_of(Path("out")).batches if books(endpoint)["created"] else ()
    return Counter(each.status for each in found or ())


def test_a_full_queue_is_waited_for_with_smaller_batches(run: Any, endpoint: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("batchrun.engine.batches.queue_room._FIRST_S", 0.1)
    endpoint.change(batch_tokens=500)
    write_prompts(*MANY)
    finished = run(*BY_BATCH)
    assert finished.code == 0
    assert "queue is full" in finished.stderr
    assert_bought_once(endpoint)


def test_batches_that_fill_the_queue_are_uploaded_once_and_created_again_in_its_turn(
    run: Any, endpoint: Any, when: Any
) -> None:
    """There is room for one of five: each of the others is tried in vain at most once, before the queue is known."""
    endpoint.change(batch_tokens=200, batch_lines_per_s=20)
    write_prompts(*MANY)
    shown: list[str] = []
    when(lambda: books(endpoint)["created"] == 6, lambda: shown.append(line_text(figures_of(Path("out")), 0)))
    finished = run(*BY_BATCH, "--batch-requests", 8)
    assert finished.code == 0
    assert "smaller" not in finished.stderr
    assert books(endpoint)["files"] == 5
    assert books(endpoint)["created"] <= 9
    assert " waiting, " in shown[0]
    assert (state()["batches"]["collected"], state()["batches"]["not_taken"]) == (5, 0)
    assert_bought_once(endpoint)


def test_batches_that_wait_for_room_are_created_by_the_next_command_from_the_files_that_are_there(
    run: Any, endpoint: Any, when: Any
) -> None:
    """Interrupted, they are shown as not sent; nothing is uploaded again."""
    endpoint.change(batch_tokens=200, batch_lines_per_s=1)
    write_prompts(*MANY)
    asked = (*BY_BATCH, "--batch-requests", 8)
    when(lambda: statuses(endpoint) == {"in_progress": 1, "waiting": 4}, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert run(*asked).code == 130
    assert statuses(endpoint) == {"in_progress": 1, "not_sent": 4}
    endpoint.change(batch_lines_per_s=None)
    finished = run(*asked)
    assert finished.code == 0, finished.stderr
    assert books(endpoint)["files"] == 5
    assert (state()["batches"]["collected"], state()["batches"]["not_taken"]) == (5, 0)
    assert_bought_once(endpoint)


def test_a_model_whose_queue_is_too_small_does_not_wait_for_a_batch_of_another(
    run: Any, endpoint: Any, monkeypatch: Any
) -> None:
    """That one may take a day: the first model's batches become smaller while it is under way."""
    monkeypatch.setattr("batchrun.engine.batches.queue_room._FIRST_S", 0.1)
    endpoint.change(batch_tokens=500, batch_lines_per_s=0.1)
    asked = [*((MODEL, text) for text in MANY), ("openai/gpt-oss-20b", "Hi")]
    bodies = [{"model": model, "messages": [{"role": "user", "content": text}]} for model, text in asked]
    head = {"method": "POST", "url": "/v1/chat/completions"}
    write_rows("in.jsonl", *({"custom_id": str(row), **head, "body": body} for row, body in enumerate(bodies)))

    def is_each_under_way() -> bool:
        found = {each.model for each in figures_of(Path("out")).batches or () if each.status == "in_progress"}
        return len(found) == 2

    def look() -> bool:
        try:
            for _ in range(100):
                if books(endpoint)["created"] and is_each_under_way():
                    return True
                time.sleep(0.1)
            return False
        finally:
            endpoint.change(batch_lines_per_s=None)

    with ThreadPoolExecutor(1) as pool:
        looked = pool.submit(look)
        finished = run(*BY_BATCH, model=None)
        assert looked.result()
    assert finished.code == 0
    assert "smaller batches" in finished.stderr
    assert_bought_once(endpoint)


def test_batches_that_are_too_large_become_smaller(run: Any, endpoint: Any) -> None:
    endpoint.change(batch_requests=15)
    write_prompts(*MANY)
    assert run(*BY_BATCH).code == 0
    assert_bought_once(endpoint)
