"""Runs by batches over real sockets: what is settled, paid and left is compared with the books of the provider."""

import json
import os
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.damage import root_of
from harness.finished import Finished
from harness.prompts import write_prompts, write_rows
from harness.serving import answering

from batchrun.endpoint.batches.client import BatchClient
from batchrun.job.batch_providers import batch_provider
from batchrun.records import Fault
from batchrun.report.progress import line_text
from batchrun.results.run_directory import CHECKPOINT
from batchrun.results.state import figures_of

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
MANY = [f"Weng earns ${number} an hour. How much in a day?" for number in range(40)]
BY_BATCH = ("in.jsonl", "--via", "batch")

WAYS = {"latency_s", "finished_at", "endpoint", "response_id"}
"""Columns that tell the way of sending; the server makes up a new id for each answer."""


@pytest.fixture(autouse=True)
def quick(endpoint: Any) -> None:
    endpoint.change(batch_validation_s=0.01)


def books(endpoint: Any) -> Any:
    return endpoint._simulator._batches.books


def rows(folder: str = "out") -> list[dict[str, Any]]:
    return pq.read_table(f"{folder}/results.parquet").to_pylist()


def state(folder: str = "out") -> Any:
    return json.loads(Path(folder, "run.json").read_text())


def batches_section(folder: str) -> str:
    """Return the part of report.html on batches that are not collected."""
    page = Path(folder, "report.html").read_text()
    return page.partition("<h2>Batches not collected</h2>")[2].partition("</section>")[0]


def assert_bought_once(endpoint: Any) -> None:
    assert set(endpoint.stats.answered_by_request.values()) == {1}


Interrupted = Callable[[], Finished]


@pytest.fixture
def interrupted(run: Any, endpoint: Any, when: Any) -> Interrupted:
    """Run by batches in this process, and press Ctrl-C when the first line is answered."""

    def interrupted() -> Finished:
        when(lambda: books(endpoint)["answered"] > 0, lambda: os.kill(os.getpid(), signal.SIGINT))
        finished: Finished = run(*BY_BATCH)
        assert finished.code == 130
        return finished

    return interrupted


def write_job(endpoint: Any, more: str = "", of_endpoint: str = "") -> str:
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{MODEL}"\nmax_tokens = 20\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\nvia = "batch"\n{of_endpoint}[output]\ndir = "out"\n{more}'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = 100\noutput_usd_per_mtok = 1000\n'
    )
    return "job.toml"


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
    assert {row["endpoint"].endswith(" (batch)") for row in rows()} == {True}
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
    [file] = endpoint._simulator._batches._files.all("batch")
    sent = [json.loads(line) for line in file.content.splitlines()]
    assert [line["body"] for line in sent] == bodies
    assert [line["custom_id"] for line in sent] == ["r0-m0-s0", "r1-m0-s0"]
    assert [row["custom_id"] for row in rows()] == ["same", "same"]


def test_lines_that_may_pass_go_into_the_next_batch_and_their_attempts_count(run: Any, endpoint: Any) -> None:
    write_prompts(*MANY[:10], "Now this. [[simulate: 500 x1]]", "And this. [[simulate: 429 x2]]")
    assert run(*BY_BATCH).code == 0
    assert [row["attempts"] for row in rows()] == [1] * 10 + [2, 3]
    assert_bought_once(endpoint)
    assert state()["attempts"] == 15


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
    [first] = endpoint._simulator._batches._batches.values()
    if end == "cancelled":
        first.become("cancelling", time.time())
    if end == "deleted":
        endpoint.change(batch_lines_per_s=None)
    endpoint.wait(lambda: first.is_done)
    if end == "deleted":
        endpoint._simulator._batches._files.delete(first.output_file_id, "")
    endpoint.change(batch_lines_per_s=None, batch_window_s=1000.0)
    finished = run(*BY_BATCH)
    assert finished.code == 0, finished.stderr
    notices = {"expired": "has expired: ", "cancelled": "was cancelled at the provider: ", "deleted": "are gone at the"}
    assert notices[end] in finished.stderr
    assert (state()["rows"], state()["completed"]) == (40, 40)
    assert books(endpoint)["created"] == 2
    if end != "deleted":
        assert_bought_once(endpoint)


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
                if Path("out", CHECKPOINT).exists() and is_each_under_way():
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


def test_a_wrong_model_stops_the_run_with_its_reason_and_costs_nothing(run: Any, endpoint: Any) -> None:
    write_prompts(*MANY)
    finished = run(*BY_BATCH, model="none/such")
    assert finished.code == 4
    assert "The provided model 'none/such' is not supported by the Batch API" in finished.stderr
    assert state()["rows"] == 0
    assert endpoint.stats.answered == 0


def test_a_parameter_that_all_rows_have_and_none_may_stops_the_run(run: Any, endpoint: Any) -> None:
    """The rows stay open: the same command goes on when the job is corrected."""
    write_prompts(*MANY)
    finished = run(*BY_BATCH, "--param", "top_logprobs=50")
    assert finished.code == 4
    assert "top_logprobs" in finished.stderr
    assert state()["rows"] == 0
    assert run(*BY_BATCH, "--param", "top_logprobs=5").code == 0
    assert_bought_once(endpoint)


def test_a_refused_key_stops_the_run_and_the_batches_are_found_again(run: Any, endpoint: Any) -> None:
    endpoint.change(keys=["other"])
    write_prompts(*MANY)
    assert run(*BY_BATCH).code == 4
    assert [each["status"] for each in state()["batches"]["open"]] == ["not_sent"]
    endpoint.change(keys=[])
    assert run(*BY_BATCH).code == 0
    assert_bought_once(endpoint)


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


def test_answers_that_do_not_fit_the_schema_are_asked_again_in_the_next_batch(run: Any, endpoint: Any) -> None:
    Path("schema.json").write_text('{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}')
    write_prompts(*MANY[:5], "This one. [[simulate: off_schema x1]]")
    finished = run(*BY_BATCH, "--schema", "schema.json")
    assert finished.code == 0, finished.stderr
    assert [row["attempts"] for row in rows()][:5] == [1] * 5
    assert rows()[5]["attempts"] > 1
    assert state()["completion_tokens"] == endpoint.stats.completion_tokens


def test_an_output_file_that_was_deleted_is_reported_and_its_rows_are_sent_again(
    run: Any, endpoint: Any, monkeypatch: Any
) -> None:
    """What it cost is not known: it counts as set aside."""
    write_prompts(*MANY[:5])
    service = endpoint._simulator._batches
    find, deleted = service._files.find, list[str]()

    def lose(file_id: str, owner: str = "") -> Any:
        file = find(file_id, owner)
        if file.purpose == "batch_output" and not deleted:
            deleted.append(file_id)
            service._files.delete(file_id)
        return find(file_id, owner)

    monkeypatch.setattr(service._files, "find", lose)
    finished = batch_run = run(write_job(endpoint), "--max-cost", 10, model=None)
    assert batch_run.code == 0, finished.stderr
    assert "gone at the provider" in finished.stderr
    assert state()["completed"] == 5
    assert state()["set_aside_usd"] > 0


def test_the_cost_is_half_and_no_cap_is_exceeded(batchrun: Any, endpoint: Any) -> None:
    """Under a cap that not all rows fit in, batches are made as large as it allows; a higher one goes on."""
    write_prompts(*MANY)
    finished = batchrun("run", write_job(endpoint), "--max-cost", 0.2, "--yes")
    assert finished.code == 5
    assert "cost cap of 0.2 USD" in finished.stderr
    half = (endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 2e6
    assert 0 < state()["completed"] < 40
    assert state()["cost_usd"] == pytest.approx(half)
    assert half <= 0.2
    assert batchrun("run", "job.toml", "--max-cost", 5, "--yes").code == 0
    half = (endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 2e6
    assert state()["cost_usd"] == pytest.approx(half)
    assert sum(row["cost_usd"] for row in rows()) == pytest.approx(half)
    assert_bought_once(endpoint)


def test_near_a_cap_batches_stay_worth_their_hours_and_buy_nearly_as_much_as_ordinary_requests(
    batchrun: Any, endpoint: Any
) -> None:
    """Without a least size they went on down to one request each."""
    write_prompts(*(f"{prompt} Case {number}." for number in range(25) for prompt in MANY))
    finished = batchrun("run", write_job(endpoint), "--max-cost", 6, "--yes")
    assert finished.code == 5, finished.stderr
    sizes = [len(each.lines) for each in endpoint._simulator._batches._batches.values()]
    assert min(sizes) >= 10, sizes
    assert len(sizes) <= 8
    assert re.search(r"cost cap of 6 USD leaves room for \d+ requests? and not for another one", finished.stderr)
    assert "the cost cap of 6 USD allows no more requests now: they wait" in finished.stderr
    half = (endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 2e6
    assert state()["cost_usd"] == pytest.approx(half)
    assert half <= 6
    assert state()["batches"]["open"] == []
    in_batches = state()["completed"]
    assert batchrun("run", "job.toml", "--max-cost", 6, "--yes").code == 5
    assert state()["completed"] == in_batches
    assert "or run it with --via requests --yes to send what fits" in finished.stderr
    assert batchrun("run", "job.toml", "--via", "requests", "--max-cost", 6).code == 2
    assert batchrun("run", "job.toml", "--via", "requests", "--max-cost", 6, "--yes").code == 5
    assert state()["completed"] > in_batches
    assert_bought_once(endpoint)
    ordinary = ("--via", "requests", "--max-cost", 12, "--yes", "-o", "ordinary")
    assert batchrun("run", "job.toml", *ordinary).code == 5
    assert in_batches >= 0.95 * state("ordinary")["completed"]


def test_what_no_batch_has_answered_in_time_is_sent_as_ordinary_requests(
    batchrun: Any, endpoint: Any, monkeypatch: Any
) -> None:
    """The batches are cancelled first, so that nothing is bought twice; each way has its own price."""
    monkeypatch.setattr("batchrun.engine.batches.rest_time.next_time_s", lambda clock_time, now_s: now_s + 3.0)
    endpoint.change(batch_lines_per_s=5)
    write_prompts(*MANY)
    finished = batchrun("run", write_job(endpoint), "--rest-by", "06:00")
    assert finished.code == 0, finished.stderr
    assert re.search(r", in \d\.\d s, is sent as ordinary requests, at the usual price", finished.stderr)
    ways = [row["endpoint"].endswith("(batch)") for row in rows()]
    assert 0 < sum(ways) < 40
    assert books(endpoint)["by_status"] == {"cancelled": 1}
    assert_bought_once(endpoint)
    costs = [row["prompt_tokens"] * 1e-4 + row["completion_tokens"] * 1e-3 for row in rows()]
    expected = [cost / 2 if way else cost for cost, way in zip(costs, ways, strict=True)]
    assert [row["cost_usd"] for row in rows()] == pytest.approx(expected)
    assert state()["cost_usd"] == pytest.approx(sum(expected))


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
    process = spawn("run", *BY_BATCH, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
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


def test_a_run_with_nothing_to_send_announces_nothing(run: Any, endpoint: Any) -> None:
    write_prompts("a")
    assert "sending in batches" in run(*BY_BATCH).stderr
    assert "sending in batches" not in run(*BY_BATCH, "--rest-by", "06:00").stderr


def test_cancel_ends_the_batches_and_keeps_what_they_answered(run: Any, spawn: Any, endpoint: Any) -> None:
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    process = spawn("run", *BY_BATCH, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
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


def test_an_edited_row_is_sent_again_and_its_old_answer_is_paid_but_not_shown(
    run: Any, interrupted: Interrupted, endpoint: Any
) -> None:
    endpoint.change(batch_lines_per_s=10)
    write_prompts(*MANY)
    interrupted()
    write_prompts(*MANY[:30], "edited")
    assert run(*BY_BATCH, "--yes").code == 0
    assert state()["rows"] == 31
    assert state()["completion_tokens"] == endpoint.stats.completion_tokens
    assert_bought_once(endpoint)


@pytest.mark.parametrize("change", [("--temperature", 0.5), ("--limit", 10)])
def test_an_edit_asks_before_answers_of_batches_under_way_are_dropped(
    run: Any, interrupted: Interrupted, batchrun: Any, endpoint: Any, change: tuple[Any, ...]
) -> None:
    """The provider bills them. Refused, the command of before collects them."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    interrupted()
    refused = run(*BY_BATCH, *change)
    assert refused.code == 2
    dropped = 40 if change[0] == "--temperature" else 30
    sent = "40 requests would be sent" if change[0] == "--temperature" else "0 requests would be sent"
    text = f"{dropped} of 40 requests in batches are not in the job any more: their answers are paid for, and not used"
    assert f"{text} unless it asks for them again; {sent}" in refused.stderr
    assert "undo the edit, and run again to collect them, or with --cancel to end them; or add --yes" in refused.stderr
    checked = batchrun("check", *BY_BATCH, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", *change)
    assert text in checked.stderr + checked.stdout
    endpoint.change(batch_lines_per_s=None)
    write_prompts(*MANY, "one more")
    finished = run(*BY_BATCH)
    assert "0 rows kept, 40 in batches, 1 to send, 0 leaving the results" in finished.stderr
    assert finished.code == 0
    assert (books(endpoint)["created"], state()["completed"]) == (2, 41)
    assert_bought_once(endpoint)


def test_a_batch_that_was_created_without_a_reply_is_found(run: Any, spawn: Any, endpoint: Any) -> None:
    """It is killed while the provider keeps the reply back, and lists the batch only later."""
    endpoint.change(batch_reply_s=5.0, batch_list_lag_s=1.0)
    write_prompts(*MANY)
    process = spawn("run", *BY_BATCH, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
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
    command = ("run", *BY_BATCH, "--batch-requests", "20", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
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


def test_batches_under_way_elsewhere_are_not_taken_to_be_gone(
    run: Any, interrupted: Interrupted, endpoint: Any, batchrun: Any
) -> None:
    """Another server does not know them: its 404 would have their rows bought twice."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    command = ("run", *BY_BATCH, "-m", MODEL, "-o", "out")
    interrupted()
    with answering(lambda body: (404, {"error": {"message": "no such batch"}})) as other:
        refused = batchrun(*command, "--base-url", other)
        assert refused.code == 2
        assert f"--base-url {endpoint.base_url}" in refused.stderr
        assert "--cancel" in refused.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTHER", "sk-test")
        refused = run(*BY_BATCH, "--api-key-env", "OTHER")
        assert refused.code == 2
        assert "run it without --api-key-env (api_key_env of a job file) to collect" in refused.stderr
        refused = run("in.jsonl", "--restart")
        assert refused.code == 2
        assert "use --via batch --cancel instead of --restart" in refused.stderr
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


@pytest.mark.parametrize("are_others", [False, True])
def test_batches_are_collected_though_their_files_are_gone(
    are_others: bool, run: Any, interrupted: Interrupted, endpoint: Any
) -> None:
    """A power cut may lose the name of their folder. Files of others, which a cut may bring back, leave with them."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    interrupted()
    shutil.rmtree("out/batches")
    if are_others:
        Path("out/batches").mkdir()
        for name in ("0000.jsonl", "0000.output.jsonl", "0000.errors.jsonl.part"):
            Path("out/batches", name).touch()
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)
    assert not Path("out/batches").exists()


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


@pytest.mark.parametrize("models", [(MODEL, "no/such"), ("no/such", MODEL)])
@pytest.mark.parametrize("rows_each", [1, 20])
def test_a_refused_model_is_closed_and_the_others_go_on(
    batchrun: Any, endpoint: Any, models: tuple[str, str], rows_each: int
) -> None:
    """As in the ordinary way: its rows stay open, and none of its batches is left."""
    write_prompts(*MANY[:rows_each])
    asked = ("-m", models[0], "-m", models[1], "--base-url", endpoint.base_url, "-o", "out")
    endpoint.change(batch_lines_per_s=15)
    finished = batchrun("run", *BY_BATCH, *asked, "--batch-requests", 10)
    assert finished.code == 4
    assert "no/such" in finished.stderr
    assert "The other models continue" in finished.stderr
    assert "at the provider" not in finished.stderr
    assert (state()["completed"], state()["failed"]) == (rows_each, 0)
    assert_bought_once(endpoint)


def test_what_is_refused_is_not_reported_as_left(run: Any, endpoint: Any) -> None:
    write_prompts(*MANY)
    finished = run(*BY_BATCH, "--batch-requests", 20, model="none/such")
    assert finished.code == 4
    assert "at the provider" not in finished.stderr
    assert {name: count for name, count in state()["batches"].items() if count} == {"not_taken": 2}


def test_without_its_checkpoint_status_names_the_files_of_batches_and_the_same_command_goes_on(
    run: Any, batchrun: Any, interrupted: Interrupted, endpoint: Any
) -> None:
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    assert "the same command collects the answers, --cancel cancels it" in interrupted().stderr
    for path in Path("out").glob("checkpoint.sqlite*"):
        path.unlink()
    status = batchrun("status", "out")
    assert status.code == 3
    assert (
        "out/checkpoint.sqlite: is gone; batches/ has the files of 1 batch; "
        "run the job again: it finds what is under way by these files" in status.stderr
    )
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


def test_without_its_checkpoint_and_with_settled_rows_a_restart_finds_what_is_under_way(
    run: Any, batchrun: Any, when: Any, endpoint: Any
) -> None:
    """As status says: only rows of batches that were collected are sent again."""
    write_prompts(*MANY[:10])
    assert run(*BY_BATCH).code == 0
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    endpoint.stats.answered_by_request.clear()
    when(lambda: books(endpoint)["answered"] > 10, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert run(*BY_BATCH).code == 130
    for path in Path("out").glob("checkpoint.sqlite*"):
        path.unlink()
    status = batchrun("status", "out")
    assert "run.json counts 10 settled rows and batches/ has the files of 1 batch" in status.stderr
    assert "--restart: it finds what is under way by these files, and sends all other rows again" in status.stderr
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH, "--restart").code == 0
    assert books(endpoint)["created"] == 3
    assert len(rows()) == 40
    assert_bought_once(endpoint)


def test_without_its_checkpoint_and_the_files_of_its_batches_a_run_asks_before_it_buys_all_again(
    run: Any, batchrun: Any, interrupted: Interrupted, endpoint: Any
) -> None:
    """What is open at the provider is named: it can be cancelled there."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    interrupted()
    for path in Path("out").glob("checkpoint.sqlite*"):
        path.unlink()
    shutil.rmtree("out/batches")
    [name] = endpoint._simulator._batches._batches
    listed = f"run.json lists 1 batch with 40 requests at the provider ({name})"
    for flags in ([], ["--restart"], ["--cancel"]):
        refused = run(*BY_BATCH, *flags)
        assert refused.code == 2
        assert f"{listed}, and neither batches/ nor a sound checkpoint.sqlite is left" in refused.stderr
        assert "add --yes to send the rows again" in refused.stderr
    asked = ("-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    assert listed in batchrun("check", *BY_BATCH, *asked).stderr
    assert listed in batchrun("status", "out").stderr
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH, "--yes").code == 0
    assert books(endpoint)["created"] == 2
    assert run(*BY_BATCH).code == 0


@pytest.mark.parametrize("flags", [("--batch-requests", "5"), ("--rest-by", "06:00")])
def test_what_only_batches_have_names_the_flag_that_is_missing(run: Any, flags: tuple[str, str]) -> None:
    write_prompts("a")
    refused = run("in.jsonl", *flags)
    assert refused.code == 2
    assert refused.stderr.rstrip().endswith('; needs via = "batch" (--via batch)')


def left_by_another_key(endpoint: Any, interrupted: Interrupted, monkeypatch: Any, **changes: Any) -> None:
    """Leave a batch at the provider, and have another key in its variable."""
    endpoint.change(batch_lines_per_s=2, **changes)
    write_prompts(*MANY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first")
    interrupted()
    endpoint.change(batch_lines_per_s=None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-second")


def test_another_account_does_not_take_batches_to_be_deleted(
    run: Any, interrupted: Interrupted, endpoint: Any, monkeypatch: Any
) -> None:
    """At the same URL, by the same variable: its 404 would have their rows bought twice."""
    left_by_another_key(endpoint, interrupted, monkeypatch, batch_accounts=True)
    for _ in range(2):
        refused = run(*BY_BATCH)
        assert refused.code == 4
        assert "1 batch with 40 requests cannot be seen with this key" in refused.stderr
        assert "while the provider keeps them (OpenAI for 30 days)" in refused.stderr
        assert "no later run collects them with any key" in refused.stderr
    assert books(endpoint)["created"] == 1
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first")
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


def test_what_another_account_has_can_be_given_up(
    run: Any, batchrun: Any, interrupted: Interrupted, endpoint: Any, monkeypatch: Any
) -> None:
    """Nothing was cancelled, and no message claims it."""
    left_by_another_key(endpoint, interrupted, monkeypatch, batch_accounts=True)
    finished = run(*BY_BATCH, "--cancel")
    assert finished.code == 5
    assert "is given up: this key does not see it" in finished.stderr
    assert "1 batch with 40 requests given up, not cancelled" in finished.stderr
    assert (
        "until you have them cancelled at the provider with it. No later run collects them; what they answer can be "
        "downloaded there with that key, from OpenAI for 30 days; run the command without --cancel to go on"
    ) in finished.stderr
    for wrong in ("what they had answered", "sent again", "is gone"):
        assert wrong not in finished.stderr
    assert (state()["batches"]["collected"], state()["batches"]["given_up"]) == (0, 1)
    assert "1 batch given up, which another key has created" in batchrun("status", "out").stdout
    assert "collected" not in batchrun("status", "out").stdout
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first")
    assert run(*BY_BATCH).code == 0
    assert state()["completed"] == 40
    assert books(endpoint)["created"] == 2


def test_a_new_key_of_the_same_account_goes_on(
    run: Any, interrupted: Interrupted, endpoint: Any, monkeypatch: Any
) -> None:
    left_by_another_key(endpoint, interrupted, monkeypatch)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


@pytest.mark.parametrize("table", ["executions", "outcomes", "batches", "batch_lines"])
def test_batches_under_way_are_not_forgotten_by_a_salvage(
    run: Any, batchrun: Any, spawn: Any, endpoint: Any, table: str
) -> None:
    """Also where the damage is in their own tables: the files of the batches show what is in them."""
    endpoint.change(batch_lines_per_s=20)
    lines = [{"custom_id": f"label-{number}", "prompt": prompt} for number, prompt in enumerate(MANY)]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = (*BY_BATCH, "--batch-requests", "20", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    process = spawn("run", *command)
    endpoint.wait(lambda: books(endpoint)["answered"] > 4)
    process.kill()
    process.communicate()
    path = Path("out/checkpoint.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    number = root_of(path, table)
    content[(number - 1) * page_bytes : number * page_bytes] = bytes(page_bytes)
    path.write_bytes(content)
    assert run(*BY_BATCH).code == 3
    assert batchrun("export", "out", "--salvage").code == 0
    finished = run(*BY_BATCH)
    assert finished.code == 0
    assert "the job or the input has changed" not in finished.stderr  # what it was made from is lost, no more
    assert "the checkpoint was salvaged: reading the whole input" in finished.stderr
    assert books(endpoint)["created"] == 2
    assert_bought_once(endpoint)
    assert [row["custom_id"] for row in rows()] == [line["custom_id"] for line in lines]
    assert state()["completed"] == 40


def test_batches_carry_the_identity_of_their_run(batchrun: Any, endpoint: Any) -> None:
    """From the first execution on: by it a batch is found again, and never taken for one of another run."""
    write_prompts(*MANY[:2])
    for folder in ("one", "two"):
        asked = ("-m", MODEL, "--base-url", endpoint.base_url, "-o", folder, "--batch-requests", 1)
        assert batchrun("run", *BY_BATCH, *asked).code == 0
    named = [each.metadata["batchrun_run"] for each in endpoint._simulator._batches._batches.values()]
    assert named[0] == named[1]
    assert named[2] == named[3]
    assert len(set(named)) == 2
    assert "" not in named


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


def test_a_provider_with_another_api_is_refused_before_anything_is_sent(batchrun: Any) -> None:
    write_prompts("a")
    for command in ("run", "check"):
        refused = batchrun(command, *BY_BATCH, "-m", "m", "--base-url", "https://api.anthropic.com/v1", "-o", "out")
        assert refused.code == 2
        assert "leave out --via batch" in refused.stderr
        assert "Anthropic has batches, but not by OpenAI's API" in refused.stderr


def test_the_lines_of_the_provider_are_exported_under_the_labels_of_the_user(
    run: Any, batchrun: Any, endpoint: Any
) -> None:
    """Each with its id, that of its request and its body, byte for byte."""
    lines = [{"custom_id": f"label-{number}", "prompt": prompt} for number, prompt in enumerate(MANY[:5])]
    lines[3]["prompt"] += " [[simulate: 400]]"
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(*BY_BATCH).code == 1
    assert batchrun("export", "out", "--format", "openai").code == 0
    files = endpoint._simulator._batches._files.all("batch_output")
    theirs = [line for file in files for line in file.content.splitlines()]
    ours = [line for path in Path("out").glob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert len(ours) == 5
    for line in ours:
        label = json.loads(line)["custom_id"]
        sent = f"r{label.removeprefix('label-')}-m0-s0"
        assert line.replace(json.dumps(label).encode(), json.dumps(sent).encode()) in theirs
