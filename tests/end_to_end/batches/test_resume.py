"""Runs by batches that are interrupted, killed or cancelled: nothing is bought twice, by the books of the provider."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from harness.by_batch import (
    BY_BATCH,
    MANY,
    MODEL,
    Interrupted,
    asked_at,
    assert_bought_once,
    books,
    created,
    service,
    state,
)
from harness.prompts import write_prompts

from batchrun.report.progress import line_text
from batchrun.results.state import figures_of


def batches_section(folder: str) -> str:
    """Return the part of report.html on batches that are not collected."""
    page = Path(folder, "report.html").read_text()
    return page.partition("<h2>Batches not collected</h2>")[2].partition("</section>")[0]


def test_an_interrupted_run_leaves_its_batches_and_the_same_command_collects_them(
    run: Any, batchrun: Any, interrupted: Interrupted, endpoint: Any
) -> None:
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    ended = interrupted()
    assert "1 batch with 40 requests goes on at the provider" in ended.stderr
    assert "in flight" not in ended.stderr
    assert books(endpoint)["by_status"] == {"in_progress": 1}
    for flags, cure in ((["in.jsonl"], "--via batch"), ([*BY_BATCH, "--restart"], "--cancel")):
        refused = run(*flags)
        assert refused.code == 2
        assert "1 batch with 40 requests is under way" in refused.stderr
        assert cure in refused.stderr
    status = batchrun("status", "out")
    assert "in progress when last looked at: " in status.stdout
    assert "cost      no price known" in status.stdout
    assert "expires in" in status.stdout
    [listed] = json.loads(batchrun("status", "out", "--json").stdout)["batches"]["open"]
    assert (listed["status"], listed["requests"], listed["model"]) == ("in_progress", 40, MODEL)
    assert batchrun("report", "out").code == 0
    cells = re.findall(r'<td[^>]*data-name="([^"]+)">([^<]*)</td>', batches_section("out"))
    shown = dict(cells)
    assert shown["batch"] == f"1 {listed['id']}"
    assert (shown["model"], shown["state"], shown["requests"]) == (MODEL, "in progress", "40")
    assert int(shown["answered"]) == listed["completed"]
    assert shown["time left"].startswith("23 h ")
    assert "No command looks after these now" in batches_section("out")
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


def test_watch_log_and_report_show_batches_and_no_requests_in_flight(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    process = spawn("run", *BY_BATCH, *asked_at(endpoint))
    endpoint.wait(lambda: books(endpoint)["answered"] > 0)
    endpoint.wait(lambda: "1 in progress" in line_text(figures_of(Path("out")), 0))
    watcher = spawn("watch", "out")
    first = watcher.stderr.readline()
    assert batchrun("report", "out").code == 0
    assert "No command looks after" not in batches_section("out")
    assert "Time left as of " in batches_section("out")
    endpoint.change(batch_lines_per_s=None)
    _, log = process.communicate(timeout=30)
    _, shown = watcher.communicate(timeout=30)
    assert "done      40 of 40 rows completed" in shown
    assert " · 1 batch: 1 in progress, " in first
    assert "in flight" not in log + first + shown
    assert " · no batch under way · " in line_text(figures_of(Path("out")), 0)
    assert batchrun("report", "out").code == 0
    assert not batches_section("out")


def test_cancel_ends_the_batches_and_keeps_what_they_answered(run: Any, spawn: Any, endpoint: Any) -> None:
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    process = spawn("run", *BY_BATCH, *asked_at(endpoint))
    endpoint.wait(lambda: books(endpoint)["answered"] > 0)
    process.kill()
    process.communicate()
    finished = run(*BY_BATCH, "--cancel")
    assert finished.code == 5
    assert state()["executions"][-1]["ended_by"] == "cancelled"
    assert books(endpoint)["by_status"] == {"cancelled": 1}
    assert state()["completed"] == books(endpoint)["answered"] > 0
    again = run(*BY_BATCH, "--cancel")
    assert again.code == 5
    assert "no batch is under way" in again.stderr
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH).code == 0
    assert_bought_once(endpoint)
    finished = run(*BY_BATCH, "--cancel")
    assert finished.code == 0
    assert "no batch is under way" in finished.stderr


def test_an_expired_batch_is_kept_as_far_as_it_came_and_the_rest_is_sent(run: Any, endpoint: Any) -> None:
    endpoint.change(batch_lines_per_s=40, batch_window_s=0.6)
    write_prompts(*MANY)
    finished = run(*BY_BATCH)
    assert finished.code == 0
    left = re.search(r"batch 1 has expired: (\d+) of 40 requests have no answer, and are open again", finished.stderr)
    assert left is not None
    assert 0 < int(left[1]) < 40
    assert books(endpoint)["by_status"]["expired"] >= 1
    assert_bought_once(endpoint)
    assert state()["completed"] == 40
    assert state()["completion_tokens"] == endpoint.stats.completion_tokens


@pytest.mark.parametrize("end", ["expired", "cancelled", "deleted"])
def test_what_a_batch_has_left_that_ended_meanwhile_is_sent_by_the_command_that_collects_it(
    run: Any, interrupted: Interrupted, endpoint: Any, end: str
) -> None:
    """The first pass of that command plans nothing: all is in the batch."""
    endpoint.change(batch_lines_per_s=10, batch_window_s=2.0 if end == "expired" else 1000.0)
    write_prompts(*MANY)
    interrupted()
    [first] = created(endpoint)
    if end == "cancelled":
        first.become("cancelling", time.time())
    if end == "deleted":
        endpoint.change(batch_lines_per_s=None)
    endpoint.wait(lambda: first.is_done)
    if end == "deleted":
        service(endpoint)._files.delete(first.output_file_id, "")
    endpoint.change(batch_lines_per_s=None, batch_window_s=1000.0)
    finished = run(*BY_BATCH)
    assert finished.code == 0, finished.stderr
    notices = {"expired": "has expired: ", "cancelled": "was cancelled at the provider: ", "deleted": "are gone at the"}
    assert notices[end] in finished.stderr
    assert (state()["rows"], state()["completed"]) == (40, 40)
    assert books(endpoint)["created"] == 2
    if end != "deleted":
        assert_bought_once(endpoint)


def test_a_batch_that_was_created_without_a_reply_is_found(run: Any, spawn: Any, endpoint: Any) -> None:
    """It is killed while the provider keeps the reply back, and lists the batch only later."""
    endpoint.change(batch_reply_s=5.0, batch_list_lag_s=1.0)
    write_prompts(*MANY)
    process = spawn("run", *BY_BATCH, *asked_at(endpoint))
    endpoint.wait(lambda: books(endpoint)["created"] == 1)
    process.kill()
    process.communicate()
    endpoint.change(batch_reply_s=0.0)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


@pytest.mark.slow
def test_killed_at_any_moment_no_row_is_bought_twice_and_no_batch_created_twice(
    spawn: Any, run: Any, endpoint: Any
) -> None:
    """`tests/batch_crash.py` does the same a hundred times to ten thousand rows."""
    endpoint.change(batch_lines_per_s=30, batch_reply_s=0.05, batch_list_lag_s=0.2)
    write_prompts(*MANY)
    command = ("run", *BY_BATCH, "--batch-requests", "20", *asked_at(endpoint))
    for wait_s in (0.7, 0.9, 1.1, 1.3):
        process = spawn(*command)
        time.sleep(wait_s)
        process.kill()
        process.communicate()
    assert run(*BY_BATCH, "--batch-requests", 20).code == 0
    assert books(endpoint)["created"] == 2
    assert_bought_once(endpoint)
    assert state()["completed"] == 40
    assert state()["unrecorded"] == 0


def test_a_batch_is_collected_while_the_next_one_is_begun(run: Any, endpoint: Any, monkeypatch: Any) -> None:
    """The folder of their files stays until the end, however long a disk takes."""
    write_prompts(*MANY[:2])
    mkdir = Path.mkdir

    def slow(path: Path, *args: Any, **settings: Any) -> None:
        mkdir(path, *args, **settings)
        if path.name == "batches":
            time.sleep(1.0)

    monkeypatch.setattr(Path, "mkdir", slow)
    finished = run(*BY_BATCH, "--batch-requests", 1)
    assert finished.code == 0
    assert f"batch 2: 1 request to {MODEL}, " in finished.stderr
    assert not Path("out/batches").exists()
