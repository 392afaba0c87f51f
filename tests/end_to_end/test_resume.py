"""The same command resumes a run, and no request is sent twice."""

from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts, write_rows

from batchrun.checkpoint.reader import Checkpoint
from batchrun.results.state import figures_of

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.fixture(autouse=True)
def nothing_was_bought_twice(endpoint: Any) -> Any:
    """After every test here, check that the endpoint answered no request twice, except where a test allows it."""
    endpoint.may_buy_twice = False
    yield
    if not endpoint.may_buy_twice:
        assert max(endpoint.stats.answered_by_request.values(), default=0) <= 1


def test_a_finished_run_sends_nothing_and_exits_0(run: Any, endpoint: Any) -> None:
    """The message has no tokens and no cost: they belong to the first execution. The results are the same files."""
    first = run(write_prompts("a", "b", "c"), "--json")
    before, files = results(), [Path("out", name).stat() for name in ("results.parquet", "usage.parquet")]
    done = run("in.jsonl", "--json")
    assert done.code == 0
    assert (
        done.messages == "done      nothing to send: 3 of 3 rows completed, 0 failed\nanswers   out/results.parquet\n"
    )
    assert (first.json["newly_settled"], done.json["newly_settled"]) == (3, 0)
    assert endpoint.stats.received == 3
    assert results() == before
    assert [Path("out", name).stat() for name in ("results.parquet", "usage.parquet")] == files
    differing = {"newly_settled", "duration_s", "executions", "running_s", "paused_s", "pid"}
    assert {name for name, its in done.json.items() if its != first.json[name]} <= differing


def test_a_run_with_failed_rows_is_finished_too(run: Any, endpoint: Any) -> None:
    """Exit code 1 again, and nothing is sent; the message has the flag that sends failed rows again."""
    run(write_prompts("a", "[[simulate: 400]]"))
    done = run("in.jsonl")
    assert done.code == 1
    first, failure, look, cure, answers = done.messages.splitlines()
    assert first == "done      nothing to send: 1 of 2 rows completed, 1 failed"
    assert "1 bad_request: " in failure
    assert look == "next      to see the failed rows: batchrun show out --failed"
    assert cure.strip() == "to send failed rows again, add --retry-failed"
    assert answers == "answers   out/results.parquet"
    assert endpoint.stats.received == 3  # two rows, and the canary that confirms the failure


def test_an_execution_that_sends_a_single_row_shows_the_cost(run: Any, endpoint: Any) -> None:
    """Also if it is one row of many, or a failed row that fails again."""
    endpoint.may_buy_twice = True  # the canary of each execution that confirms the failure
    run(write_prompts("a", "[[simulate: 400]]"))
    again = run("in.jsonl", "--retry-failed")
    more = run(write_prompts("a", "[[simulate: 400]]", "c"))
    for done in (again, more):
        assert "nothing to send" not in done.stderr
        assert "\ncost      " in done.messages


def test_new_scores_of_a_finished_run_are_shown(run: Any, endpoint: Any) -> None:
    """An edited evaluation sends nothing, but gives new scores."""
    write_rows("in.jsonl", {"prompt": "a", "answer": "b"})
    run("in.jsonl")
    Path("scorers.py").write_text("def score(row):\n    return 0\n")
    done = run("in.jsonl", "--scorer", "scorers:score")
    assert "nothing to send: 1 of 1 row completed" in done.stderr
    assert f"\nscore     {MODEL}: 0 " in done.messages
    assert endpoint.stats.received == 1


def test_broken_rows_are_not_offered_to_be_sent_again(run: Any) -> None:
    """The flag would send nothing: such a row is read again with every change of the input."""
    Path("in.jsonl").write_text('{"prompt": "a"}\nnot JSON\n')
    assert run("in.jsonl").code == 1
    done = run("in.jsonl")
    assert (done.code, "1 bad_row: " in done.stderr) == (1, True)
    assert "--retry-failed" not in done.stderr
    assert "bad rows are sent when they are fixed in the input and the same command is run again" in done.stderr


def test_failed_rows_are_sent_again_with_the_flag(run: Any, endpoint: Any) -> None:
    """No other rows are sent. One request more is the canary that confirms the failure."""
    failed = run(write_prompts("a", "[[simulate: 400 x1]]"))
    assert failed.code == 1
    assert "to send failed rows again, add --retry-failed" in failed.stderr
    done = run("in.jsonl", "--retry-failed", "--json")
    assert done.code == 0
    assert "sending again: 1 failed row" in done.stderr
    assert endpoint.stats.received == 4
    assert (done.json["completed"], done.json["failed"], done.json["attempts"]) == (2, 0, 4)
    assert [row["status"] for row in results()] == ["completed"] * 2


def test_a_run_resumes_with_a_higher_limit(run: Any, endpoint: Any) -> None:
    """Users try a job with --limit first and then run it without."""
    write_prompts(*map(str, range(20)))
    assert run("in.jsonl", "--limit", 5).code == 0
    assert (len(results()), endpoint.stats.received) == (5, 5)
    assert run("in.jsonl", "--limit", 8).code == 0
    assert (len(results()), endpoint.stats.received) == (8, 8)
    assert run("in.jsonl").code == 0
    assert (len(results()), endpoint.stats.received) == (20, 20)


@pytest.mark.parametrize("larger", [["--limit", "15"], []])
def test_rows_above_a_smaller_limit_return_without_cost(run: Any, endpoint: Any, larger: list[str]) -> None:
    """They are in the results again when the limit grows."""
    write_prompts(*map(str, range(15)))
    run("in.jsonl")
    assert run("in.jsonl", "--limit", 4).code == 0
    assert len(results()) == 4
    assert run("in.jsonl", *larger).code == 0
    assert len(results()) == 15
    assert endpoint.stats.received == 15


def done_tokens() -> int:
    """Return the tokens of the results."""
    return sum(row["total_tokens"] for row in results())


def test_restart_begins_an_empty_run_and_keeps_the_old_checkpoint(run: Any, endpoint: Any) -> None:
    """The old checkpoint has another name."""
    endpoint.may_buy_twice = True
    run(write_prompts("a"))
    done = run("in.jsonl", "--restart", "--max-tokens-total", 200_000)
    assert done.code == 0
    used = endpoint.stats.prompt_tokens + endpoint.stats.completion_tokens - done_tokens()
    assert "old checkpoint is kept as before-restart.checkpoint.sqlite" in done.stderr
    assert f"what that has used ({used:,} tokens) does not count for the cap" in done.stderr
    assert endpoint.stats.received == 2
    assert Path("out/before-restart.checkpoint.sqlite").exists()


def test_appended_rows_are_sent_and_the_others_keep_their_answers(run: Any, endpoint: Any) -> None:
    """A message reports the change."""
    run(write_prompts(*"abcdefghijkl"))
    before = results()
    done = run(write_prompts(*"abcdefghijklm"))
    assert done.code == 0
    assert "12 rows kept, 1 to send, 0 leaving the results" in done.stderr
    assert endpoint.stats.received == 13
    assert results()[:12] == before


def test_after_a_row_is_inserted_first_every_answer_moves_with_its_row(run: Any, endpoint: Any) -> None:
    """The run does not ask, even with a small file, because nothing is sent twice."""
    run(write_prompts("a", "b", "c"))
    answers = {row["prompt"]: row["response"] for row in results()}
    done = run(write_prompts("x", "a", "b", "c"))
    assert done.code == 0
    assert endpoint.stats.received == 4
    after = results()
    assert [row["prompt"] for row in after] == ["x", "a", "b", "c"]
    assert {row["prompt"]: row["response"] for row in after[1:]} == answers
    assert [row["custom_id"] for row in after] == ["0", "1", "2", "3"]


def test_a_removed_row_leaves_the_results_and_returns_without_cost(run: Any, endpoint: Any) -> None:
    """Undoing an edit costs nothing."""
    run(write_prompts("a", "b", "c"))
    before = results()
    assert run(write_prompts("a", "c")).code == 0
    assert [row["prompt"] for row in results()] == ["a", "c"]
    assert run(write_prompts("a", "b", "c")).code == 0
    assert results() == before
    assert endpoint.stats.received == 3


def test_an_edited_job_asks_before_it_sends_again(run: Any, endpoint: Any) -> None:
    """Without a terminal it is refused with exit code 2; --yes accepts. Undoing the edit costs nothing."""
    write_rows("in.jsonl", *({"text": letter} for letter in "abcd"))
    run("in.jsonl", "-t", "Say {{ text }}")
    before = results()
    done = run("in.jsonl", "-t", "Shout {{ text }}")
    assert done.code == 2
    assert "4 of 4 settled rows would leave the results and 4 requests would be sent" in done.stderr
    assert "--yes" in done.stderr
    assert (results(), endpoint.stats.received) == (before, 4)
    assert run("in.jsonl", "-t", "Shout {{ text }}", "--yes").code == 0
    assert endpoint.stats.received == 8
    assert run("in.jsonl", "-t", "Say {{ text }}", "--yes").code == 0
    assert (results(), endpoint.stats.received) == (before, 8)


def test_another_id_or_other_columns_cost_nothing(run: Any, endpoint: Any) -> None:
    """They are not a part of the request."""
    write_rows("in.jsonl", {"prompt": "a", "n": 1}, {"prompt": "b", "n": 2})
    run("in.jsonl")
    assert run("in.jsonl", "--id", "n", "--keep", "n").code == 0
    assert [row["custom_id"] for row in results()] == ["1", "2"]
    assert endpoint.stats.received == 2


def test_an_additional_model_keeps_the_answers_of_the_first(run: Any, endpoint: Any) -> None:
    """Only requests to the new model are sent."""
    run(write_prompts("a", "b"))
    assert run("in.jsonl", "-m", "openai/gpt-oss-20b").code == 0
    assert endpoint.stats.received == 4
    assert len(results()) == 4


def test_a_throttled_run_continues(run: Any, endpoint: Any) -> None:
    """A rejection does not count as an attempt, and no row fails."""
    endpoint.change(concurrency_limit=3, latency_s=0.005)
    done = run(write_prompts(*map(str, range(60))), "--json", "--max-attempts", 1)
    assert done.code == 0
    assert done.json["completed"] == 60
    assert done.json["attempts"] == endpoint.stats.received


def test_requests_in_flight_during_a_kill_are_reported(spawn: Any, run: Any, batchrun: Any, endpoint: Any) -> None:
    """Their number is in one message, and stays in the totals."""
    endpoint.may_buy_twice = True
    endpoint.change(latency_s=30)
    write_prompts("a", "b", "c")
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    endpoint.wait(lambda: endpoint.stats.received == 3)
    process.kill()
    process.wait()
    endpoint.change(latency_s=0)
    done = run("in.jsonl", "--json")
    assert "3 rows had been sent and not recorded; sending again" in done.stderr
    assert (done.code, done.json["unrecorded"]) == (0, 3)
    done = run("in.jsonl", "--json")
    assert "not recorded" not in done.stderr
    assert done.json["unrecorded"] == batchrun("status", "out", "--json").json["unrecorded"] == 3


def test_settled_rows_are_skipped_if_nothing_has_changed(run: Any, endpoint: Any) -> None:
    """For any number of rows, even if some rows between them are not settled."""
    write_prompts(*(f"{row} [[simulate: 400 x1]]" if row in (7, 1100, 2700) else str(row) for row in range(3000)))
    assert run("in.jsonl").code == 1
    assert run("in.jsonl").code == 1
    assert endpoint.stats.received == 3000
    assert run("in.jsonl", "--retry-failed").code == 0
    assert endpoint.stats.received == 3003
    assert [row["row"] for row in results()] == list(range(3000))


def test_the_history_has_every_execution(spawn: Any, run: Any, endpoint: Any) -> None:
    """A killed execution has no end."""
    write_prompts("[[simulate: slow 30]] a", "b")
    arguments = ["in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out"]
    process = spawn("run", *arguments)
    endpoint.wait(lambda: endpoint.stats.received == 2)
    endpoint.wait(lambda: Path("out/run.json").exists() and figures_of(Path("out")).done == 1)
    process.kill()
    process.wait()
    write_prompts("a", "b")
    assert run(*arguments[:1], "--yes").code == 0
    with Checkpoint(Path("out")) as checkpoint:
        first, second = checkpoint.executions(is_running=False)
    assert (first.state, first.ended_at_ms, second.state) == ("died", None, "completed")
    assert second.ended_at_ms is not None
    assert first.started_at_ms < second.started_at_ms <= second.ended_at_ms


def test_edited_examples_ask_their_rows_again(run: Any, endpoint: Any) -> None:
    """The examples are a part of every request, although they stand in a file of their own."""
    endpoint.may_buy_twice = True  # it does not look at the examples
    shots = Path("shots.jsonl")
    shots.write_text('{"prompt": "2+2?", "answer": "4"}\n')
    write_prompts("a", "b")
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[prompt]\nexamples = "shots.jsonl"\n[model]\nname = "{MODEL}"'
    )
    assert run("job.toml", "--json").json["newly_settled"] == 2
    shots.write_text('{"prompt": "2+2?", "answer": "four"}\n')
    edited = run("job.toml", "--json", "--yes")
    assert "prompt.examples" in edited.stderr
    assert edited.json["newly_settled"] == 2
    assert endpoint.stats.received == 4
    assert run("job.toml", "--json").json["newly_settled"] == 0
