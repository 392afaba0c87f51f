"""Jobs that are edited while their batches are under way: nothing is bought twice, by the books of the provider."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness.by_batch import BY_BATCH, MANY, Interrupted, asked_at, assert_bought_once, books, state
from harness.prompts import results, write_prompts

from batchrun.endpoint.batches.client import BatchClient
from batchrun.records import Reply

SEEDED = (*BY_BATCH, "--seed", "1")


def killed(spawn: Any, endpoint: Any, *flags: Any, until: str = "batch 1:") -> None:
    """Run until a line is printed, and a line of a batch is answered after it."""
    command = ("run", *SEEDED, *asked_at(endpoint), *flags)
    process = spawn(*command)
    while until not in (line := process.stderr.readline()):
        assert line
    answered = books(endpoint)["answered"]
    endpoint.wait(lambda: books(endpoint)["answered"] > answered)
    process.kill()
    process.communicate()


def assert_bought_and_counted_once(endpoint: Any, ways: int = 1) -> None:
    """Each text was answered once in each of these ways of asking it, and all that was used is counted."""
    assert_bought_once(endpoint, ways)
    assert state()["completion_tokens"] == endpoint.stats.completion_tokens
    assert state()["prompt_tokens"] == endpoint.stats.prompt_tokens


def assert_as_ordinary(run: Any) -> None:
    """Each row has the answer to its own text, as ordinary requests get it."""
    Path("out").rename("batched")
    assert run("in.jsonl", "--seed", 1).code == 0
    assert [row["response"] for row in results("batched")] == [row["response"] for row in results()]


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
    checked = batchrun("check", *BY_BATCH, *asked_at(endpoint), *change)
    assert text in checked.stderr + checked.stdout
    endpoint.change(batch_lines_per_s=None)
    write_prompts(*MANY, "one more")
    finished = run(*BY_BATCH)
    assert "0 rows kept, 40 in batches, 1 to send, 0 leaving the results" in finished.stderr
    assert finished.code == 0
    assert (books(endpoint)["created"], state()["completed"]) == (2, 41)
    assert_bought_once(endpoint)


@pytest.mark.parametrize(
    ("edit", "new", "kept"), [(("--temperature", "0.5"), 40, 40), (("--limit", "10"), 0, 10)], ids=["asks", "limit"]
)
@pytest.mark.parametrize("is_collected", [True, False], ids=["collected", "under way"])
def test_what_is_edited_and_edited_back_is_bought_once(
    run: Any, spawn: Any, endpoint: Any, edit: tuple[str, str], new: int, kept: int, is_collected: bool
) -> None:
    """Whether the first batches are collected during the edit, or still under way when it is undone."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    killed(spawn, endpoint)
    if is_collected:
        endpoint.change(batch_lines_per_s=None)
        edited = run(*SEEDED, *edit, "--yes")
        assert edited.code == 0, edited.stderr
        assert (state()["rows"], state()["completed"]) == (kept, kept)
        assert_bought_and_counted_once(endpoint, 1 + bool(new))
    else:
        killed(spawn, endpoint, *edit, "--yes", until="batch 2:" if new else "going on with")
        endpoint.change(batch_lines_per_s=None)
    back = run(*SEEDED, "--yes")
    assert back.code == 0, back.stderr
    assert books(endpoint)["created"] == 1 + bool(new)
    assert endpoint.stats.answered == 40 + new
    assert_bought_and_counted_once(endpoint, 1 + bool(new))
    assert (state()["completed"], state()["failed"]) == (40, 0)
    assert_as_ordinary(run)


def test_rows_that_move_get_what_their_batch_answers(run: Any, spawn: Any, endpoint: Any) -> None:
    """Each the answer to its own text, under its own label of now; only the new row is sent."""

    def write(*prompts: str) -> None:
        lines = [{"custom_id": f"{place}: {prompt}", "prompt": prompt} for place, prompt in enumerate(prompts)]
        Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    endpoint.change(batch_lines_per_s=20)
    write(*MANY)
    killed(spawn, endpoint)
    moved = ["A new one.", *reversed(MANY)]
    write(*moved)
    finished = run(*SEEDED)
    assert finished.code == 0, finished.stderr
    assert "0 rows kept, 40 in batches, 1 to send, 0 leaving the results" in finished.stderr
    assert books(endpoint)["created"] == 2
    assert_bought_and_counted_once(endpoint)
    assert [row["custom_id"] for row in results()] == [f"{place}: {prompt}" for place, prompt in enumerate(moved)]
    assert_as_ordinary(run)


def test_an_edit_back_does_not_ask_again_about_what_was_agreed(run: Any, spawn: Any, endpoint: Any) -> None:
    """Only requests that leave the job now are asked about."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    killed(spawn, endpoint)
    killed(spawn, endpoint, "--limit", 10, "--yes", until="going on with")
    endpoint.change(batch_lines_per_s=None)
    back = run(*SEEDED, "--limit", 30)
    assert back.code == 0, back.stderr
    assert "0 rows kept, 30 in batches, 0 to send, 0 leaving the results" in back.stderr
    assert "not in the job any more" not in back.stderr
    assert_bought_and_counted_once(endpoint)


def test_a_failure_of_a_request_that_left_the_job_costs_nothing_more(run: Any, spawn: Any, endpoint: Any) -> None:
    """It fails again where it is asked again; what can be repaired is not repaired while nobody asks it."""
    Path("schema.json").write_text('{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}')
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY[:5], "This one. [[simulate: off_schema x1]]", "And this. [[simulate: 400]]")
    asked = ("--schema", "schema.json")
    killed(spawn, endpoint, *asked)
    endpoint.change(batch_lines_per_s=None)
    assert run(*SEEDED, *asked, "--limit", 2, "--yes").code == 0
    assert books(endpoint)["created"] == 1
    assert state()["completion_tokens"] == endpoint.stats.completion_tokens
    assert run(*SEEDED, *asked).code == 1
    assert state()["completion_tokens"] == endpoint.stats.completion_tokens
    assert (state()["completed"], state()["failed"]) == (6, 1)


def test_a_batch_that_was_never_created_is_written_again_after_an_edit(
    run: Any, endpoint: Any, monkeypatch: Any
) -> None:
    """Its creation was asked for, and the provider does not have it: only rows that the job has now are paid."""

    async def refused(*_: object) -> Reply:
        return Reply(401, {}, b"{}", 0.0)

    write_prompts(*MANY)
    with monkeypatch.context() as patched:
        patched.setattr(BatchClient, "create", refused)
        assert run(*SEEDED).code == 4
    assert [each["status"] for each in state()["batches"]["open"]] == ["not_known"]
    monkeypatch.setattr("batchrun.engine.batches.courier.LISTED_AFTER_S", 0.0)
    edited = run(*SEEDED, "--limit", 30, "--yes")
    assert edited.code == 0, edited.stderr
    assert "batch 1 was never created; 30 of 40 requests are still wanted, and go into a new one" in edited.stderr
    assert (books(endpoint)["created"], books(endpoint)["lines"]) == (1, 30)
    assert state()["batches"]["collected"] == 1
    assert_bought_and_counted_once(endpoint)


@pytest.mark.parametrize("loss", ["deleted", "unreadable"])
@pytest.mark.parametrize("batch_reply_s", [0.0, 5.0], ids=["created", "being created"])
def test_batches_of_a_lost_checkpoint_are_found_again(
    run: Any, spawn: Any, endpoint: Any, loss: str, batch_reply_s: float
) -> None:
    """By their files, and where even their names are lost, by the run in their metadata. Their order may change too."""
    endpoint.change(batch_lines_per_s=2, batch_reply_s=batch_reply_s)
    write_prompts(*MANY)
    process = spawn("run", *SEEDED, *asked_at(endpoint))
    endpoint.wait(lambda: books(endpoint)["answered"] > 0)
    process.kill()
    process.communicate()
    endpoint.change(batch_lines_per_s=None, batch_reply_s=0.0)
    for path in Path("out").glob("checkpoint.sqlite*"):
        path.unlink() if loss == "deleted" else path.write_bytes(b"nothing of it is left" * 1000)
    write_prompts("A new one.", *reversed(MANY))
    flags = () if loss == "deleted" else ("--restart",)
    finished = run(*SEEDED, *flags, "--yes")
    assert finished.code == 0, finished.stderr
    assert "1 batch with 40 requests found again by the files in batches/" in finished.stderr
    assert books(endpoint)["created"] == 2
    assert_bought_and_counted_once(endpoint)
    assert_as_ordinary(run)
    assert not Path("batched/batches").exists()
