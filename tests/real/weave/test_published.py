"""What the real SDK of Weave publishes of a run, seen at a stand-in for its server."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_rows
from real.outside import Outside
from real.weave.conftest import JOB, MODELS, ROWS, Command, files, predictions, problem, usage_of
from real.weave_stub import WeaveStub


def test_two_models_become_two_evaluations_and_one_leaderboard(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub, strangers: Outside
) -> None:
    """Scores, means, dataset and results are those of results.parquet; publishing again adds nothing."""
    before = files()
    done = command("publish", "out", "--weave", "team/project")
    assert (done.code, done.stdout) == (0, ""), done.stderr
    means = {model: sum(row["score"] for row in run if row["model"] == model) / ROWS for model in MODELS}
    assert means[MODELS[0]] == 0.5

    evaluations = {each["display_name"]: each for each in stub.evaluations}
    assert set(evaluations) == {f"out: {model}" for model in MODELS}
    for model in MODELS:
        evaluation = evaluations[f"out: {model}"]
        assert evaluation["output"]["exact"]["mean"] == means[model]
        outputs = [call["output"] for call, _ in predictions(stub, evaluation)]
        there = sorted((each["output"], each["scores"]["exact"]) for each in outputs)
        assert there == sorted((row["response"], row["score"]) for row in run if row["model"] == model)
    (evaluated,) = {each["inputs"]["self"] for each in stub.evaluations}
    (board,) = stub.of_class("Leaderboard")
    (column,) = board["columns"]
    assert column["evaluation_object_ref"] == evaluated
    assert (column["scorer_name"], column["summary_metric_path"]) == ("exact", "mean")

    tables = sorted(stub.tables.values(), key=len)
    assert [len(table) for table in tables] == [ROWS, ROWS * len(MODELS)]
    assert [row["question"] for row in tables[0]] == [problem(number)["question"] for number in range(ROWS)]
    assert [row["response"] for row in tables[1]] == [row["response"] for row in run]

    asked, calls = list(stub.requests), dict(stub.calls)
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert stub.requests == asked, "the server is not even asked"
    Path("out/published.sqlite").unlink()
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert len(stub.traces) == len(run), "without its ledger, the calls are found on the server"
    assert calls.items() <= stub.calls.items()
    assert stub.sent_twice == []
    assert files() == before
    assert strangers.asked == []


def test_every_request_is_a_call_with_its_true_times(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """Inputs, output, model, latency, usage and cost are those of the results."""
    assert command("publish", "out", "--weave", "team/project").code == 0
    calls = {(call["attributes"]["batchrun"]["row"], call["inputs"]["model"]): call for call in stub.traces}
    assert len(calls) == len(run)
    for row in run:
        call = calls[row["row"], row["model"]]
        assert call["inputs"]["messages"] == [{"role": "user", "content": row["question"]}]
        assert call["inputs"]["max_tokens"] == 8
        assert call["output"]["choices"][0]["message"]["content"] == row["response"]
        began, ended = (datetime.fromisoformat(call[name]) for name in ("started_at", "ended_at"))
        assert ended == row["finished_at"]
        assert abs(ended - began - timedelta(seconds=row["latency_s"])) < timedelta(milliseconds=1)
        assert call["summary"]["usage"] == usage_of(row)
        assert call["summary"]["cost_usd"] == row["cost_usd"] > 0
        assert call["exception"] is None


def test_a_prediction_has_its_usage_and_its_request(command: Command, stub: WeaveStub) -> None:
    """Tokens and latency; a failed prediction has the reason."""
    write_rows("problems.jsonl", *map(problem, range(3)), problem(3) | {"question": "[[simulate: 400]]"})
    Path("job.toml").write_text(JOB)
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 1
    assert command("publish", "out", "--weave", "team/project").code == 0
    rows = {(row["row"], row["model"]): row for row in results()}
    for evaluation in stub.evaluations:
        model = evaluation["display_name"].removeprefix("out: ")
        mine = [row for row in rows.values() if row["model"] == model]
        mean_s = sum(row["latency_s"] for row in mine) / len(mine)
        assert evaluation["output"]["model_latency"]["mean"] == pytest.approx(mean_s)
        assert evaluation["summary"]["usage"][model]["total_tokens"] == sum(row["total_tokens"] or 0 for row in mine)
        for scoring, predicting in predictions(stub, evaluation):
            link = scoring["attributes"]["batchrun"]
            trace, row = stub.calls[link["call"]], rows[link["row"], model]
            assert link == predicting["attributes"]["batchrun"]
            assert (trace["attributes"]["batchrun"]["row"], trace["inputs"]["model"]) == (row["row"], model)
            assert link["latency_s"] == predicting["summary"]["latency_s"] == row["latency_s"]
            if row["status"] == "failed":
                assert scoring["output"]["output"] == {"error": trace["exception"]}
                assert scoring["output"]["scores"] == {}
            else:
                assert predicting["summary"]["usage"] == usage_of(row)


def test_failed_requests_are_calls_with_their_error(command: Command, stub: WeaveStub) -> None:
    """The error is the endpoint's message; rows that could not be sent are included."""
    write_rows("in.jsonl", {"prompt": "[[simulate: 400]]"}, {"prompt": "fine"}, {"nothing": 1})
    assert command("run", "in.jsonl", "-m", MODELS[0], "--simulate", "-o", "out").code == 1
    assert command("publish", "out", "--weave", "team/project").code == 0
    errors = {call["attributes"]["batchrun"]["row"]: call["exception"] for call in stub.traces}
    assert errors[0].startswith("bad_request: ")
    assert errors[1] is None
    assert errors[2].startswith("bad_row: in.jsonl:3")
    assert stub.evaluations == []


def test_a_sample_is_always_the_same(command: Command, run: list[dict[str, Any]], stub: WeaveStub) -> None:
    """It has the answers of both models to each of its rows; the mean is that of all rows."""
    for _ in range(2):
        assert command("publish", "out", "--weave", "team/project", "--sample", "5").code == 0
    rows = [call["attributes"]["batchrun"]["row"] for call in stub.traces]
    assert sorted(rows) == sorted(2 * list(set(rows)))
    assert len(set(rows)) == 5
    assert {each["output"]["exact"]["mean"] for each in stub.evaluations} == {
        sum(row["score"] for row in run if row["model"] == model) / ROWS for model in MODELS
    }
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert (len(stub.traces), stub.sent_twice) == (len(run), [])


def test_publishing_a_sample_and_all_rows_in_turn_adds_nothing_twice(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """Each is published by its first command."""
    for sample in (["--sample", "5"], [], ["--sample", "5"], []):
        assert command("publish", "out", "--weave", "team/project", *sample).code == 0
    assert (len(stub.traces), len(stub.evaluations), stub.sent_twice) == (len(run), 4, [])


def test_after_an_edit_of_the_input_only_new_calls_are_sent(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    assert command("publish", "out", "--weave", "team/project").code == 0
    rows = Path("problems.jsonl").read_text()
    write_rows("problems.jsonl", problem(99))
    Path("problems.jsonl").write_text(Path("problems.jsonl").read_text() + rows)
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0
    assert "2 calls sent, 24 already published" in command("publish", "out", "--weave", "team/project").stderr
    assert len(stub.traces) == len(run) + 2
    assert [len(predictions(stub, each)) for each in stub.evaluations] == [ROWS] * 2 + [ROWS + 1] * 2


def test_the_leaderboard_has_one_score_per_model_after_a_second_run(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """Evaluations of the old results still exist, but are no longer on the leaderboard."""
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert command("run", "job.toml", "--simulate", "-o", "out", "--restart", "--yes").code == 0
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert len(stub.evaluations) == 4
    assert len(stub.of_class("Dataset")) == 3, "results twice"
    (column,) = stub.of_class("Leaderboard")[-1]["columns"]
    shown = [each for each in stub.evaluations if each["inputs"]["self"] == column["evaluation_object_ref"]]
    assert shown == stub.evaluations[2:]


def test_a_job_is_published_when_its_run_ends(command: Command, stub: WeaveStub) -> None:
    """During an outage of the server it is not: a message says so, and the run ends normally."""
    write_rows("problems.jsonl", *map(problem, range(3)))
    Path("job.toml").write_text(JOB + '\n[publish]\nweave = "team/project"\n')
    stub.is_broken = lambda path: 500
    done = command("run", "job.toml", "--simulate", "-o", "away", WEAVE_RETRY_MAX_ATTEMPTS="1")
    assert done.code == 0
    assert "batchrun publish away --weave team/project" in done.stderr
    stub.is_broken = lambda path: None
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0
    assert (len(stub.traces), len(stub.evaluations)) == (6, 2)
    assert command("publish", "away").code == 0
    assert (len(stub.traces), len(stub.evaluations)) == (12, 4)
