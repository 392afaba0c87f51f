"""The real SDK of Weave, against a stand-in for its server: what of a run is to be seen there, whatever happens."""

import base64
import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness.finished import Finished
from harness.prompts import results, write_rows
from real.conftest import Batchrun
from real.environments import ROOT
from real.outside import Outside, outside
from real.weave_stub import WeaveStub, weave_stub

KEY = "0123456789" * 4
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct")
ROWS = 12
JOB = """
[input]
path = "problems.jsonl"

[prompt]
user = "{{ question }}"

[model]
names = ["meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"]
max_tokens = 8

[evaluate]
target = "final"
scorer = "exact"
"""


@pytest.fixture
def stub() -> Iterator[WeaveStub]:
    """The server."""
    with weave_stub() as stub:
        yield stub


@pytest.fixture
def strangers() -> Iterator[Outside]:
    """Everybody else."""
    with outside() as found:
        yield found


Command = Callable[..., Finished]


@pytest.fixture
def python(installed: Any) -> str:
    """An interpreter that has the SDK, and what batchrun depends on."""
    return str(installed("weave").python)


@pytest.fixture
def command(batchrun: Batchrun, python: str, stub: WeaveStub, strangers: Outside) -> Command:
    """Run a command beside the SDK, with a key, and the stub as W&B."""

    def command(*arguments: Any, **variables: str) -> Finished:
        return batchrun(*arguments, python=python, **environment(stub, strangers) | variables)

    return command


def environment(stub: WeaveStub, strangers: Outside) -> dict[str, str]:
    """Return the variables that make the stub W&B, and its key known."""
    at_stub = {"WANDB_BASE_URL": stub.base_url, "WF_TRACE_SERVER_URL": f"{stub.base_url}/traces"}
    return {**strangers.variables, **at_stub, "WANDB_API_KEY": KEY}


def problem(number: int, final: str = "?") -> dict[str, Any]:
    """Return a word problem in GSM8K's form, and its final answer beside that."""
    text = f"Ann has {number} apples and buys {number + 2} more. How many has she now?"
    total = 2 * number + 2
    return {"question": text, "answer": f"{number}+{number + 2}=<<{total}>>{total}\n#### {total}", "final": final}


@pytest.fixture
def run(command: Command) -> list[dict[str, Any]]:
    """A run in `out`: the first model is right in every second row, the second in every third. Return its rows."""
    write_rows("problems.jsonl", *map(problem, range(ROWS)))
    Path("job.toml").write_text(JOB)
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0
    by_key = {(row["row"], row["model"]): row["response"] for row in results()}
    finals = [by_key[n, MODELS[0]] if n % 2 == 0 else by_key[n, MODELS[1]] if n % 3 == 0 else "?" for n in range(ROWS)]
    write_rows("problems.jsonl", *(problem(number, final.strip()) for number, final in enumerate(finals)))
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0  # asks the same, so nothing is sent
    return results()


def usage_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the usage of a row of the results, in Weave's words."""
    tokens = {name: row[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert tokens["total_tokens"] > 0
    return {row["model"]: {"requests": 1, **tokens, "cache_read_input_tokens": row["cached_tokens"]}}


def predictions(stub: WeaveStub, evaluation: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the predictions of an evaluation: each call that scores one, and the call of the model in it."""
    scoring = [call for call in stub.calls.values() if call["parent_id"] == evaluation["id"]]
    scoring = [call for call in scoring if "/op/Evaluation.predict_and_score:" in call["op_name"]]
    inside = {call["parent_id"]: call for call in stub.calls.values()}
    return [(call, inside[call["id"]]) for call in scoring]


def files(directory: str = "out") -> dict[str, str]:
    """Return a hash of each file that is the run's own."""
    own = ("results.parquet", "usage.parquet", "run.json", "checkpoint.sqlite")
    return {name: hashlib.sha256((Path(directory) / name).read_bytes()).hexdigest() for name in own}


def test_two_models_become_two_evaluations_and_one_leaderboard_and_again_adds_nothing(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub, strangers: Outside
) -> None:
    """Exact match over word problems: scores, means, dataset and results are there as results.parquet has them."""
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


def test_a_prediction_says_what_it_took_and_which_request_it_was(command: Command, stub: WeaveStub) -> None:
    """Tokens and latency; of a failed one, why it failed."""
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
            told = scoring["attributes"]["batchrun"]
            trace, row = stub.calls[told["call"]], rows[told["row"], model]
            assert told == predicting["attributes"]["batchrun"]
            assert (trace["attributes"]["batchrun"]["row"], trace["inputs"]["model"]) == (row["row"], model)
            assert told["latency_s"] == predicting["summary"]["latency_s"] == row["latency_s"]
            if row["status"] == "failed":
                assert scoring["output"]["output"] == {"error": trace["exception"]}
                assert scoring["output"]["scores"] == {}
            else:
                assert predicting["summary"]["usage"] == usage_of(row)


def test_failed_requests_are_calls_with_their_error(command: Command, stub: WeaveStub) -> None:
    """What the endpoint said of them, and rows that could not be sent at all."""
    write_rows("in.jsonl", {"prompt": "[[simulate: 400]]"}, {"prompt": "fine"}, {"nothing": 1})
    assert command("run", "in.jsonl", "-m", MODELS[0], "--simulate", "-o", "out").code == 1
    assert command("publish", "out", "--weave", "team/project").code == 0
    errors = {call["attributes"]["batchrun"]["row"]: call["exception"] for call in stub.traces}
    assert errors[0].startswith("bad_request: ")
    assert errors[1] is None
    assert errors[2].startswith("bad_row: in.jsonl:3")
    assert stub.evaluations == []


def test_killed_in_the_middle_it_goes_on(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub, strangers: Outside, python: str
) -> None:
    """The batch whose answer never came is found on the server; the evaluation that was cut off is made again."""
    for at in ("/calls/complete", "/call/start"):
        reached, killed = threading.Event(), threading.Event()

        def stop(path: str, at: str = at, reached: Any = reached, killed: Any = killed) -> None:
            if path.endswith(at) and not killed.is_set():
                reached.set()
                killed.wait(30)

        stub.after = stop
        process = subprocess.Popen(
            [python, "-m", "batchrun", "publish", "out", "--weave", "team/project"],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment(stub, strangers),
        )
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed.set()
        stub.after = lambda path: None
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert stub.sent_twice == []
    assert len(stub.traces) == len(run)
    assert len(stub.evaluations) == 2
    assert all(each["ended_at"] for each in stub.evaluations)
    assert stub.deleted, "what was cut off is gone"
    assert len(stub.of_class("Leaderboard")) == 1


def test_a_server_that_breaks_down_costs_the_publishing_only(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """Each step fails in its turn, says so, leaves the run as it is; afterwards all is there once."""
    before = files()
    for path in ("/server_info", "/calls/complete", "/table/create", "/call/start"):
        stub.is_broken = lambda asked, path=path: 500 if asked.endswith(path) else None
        done = command("publish", "out", "--weave", "team/project", WEAVE_RETRY_MAX_ATTEMPTS="1")
        assert done.code == 5, (path, done)
        assert "team/project" in done.stderr
        assert "publish" in done.stderr
        assert "Traceback" not in done.stderr
    stub.is_broken = lambda asked: None
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert (len(stub.traces), len(stub.evaluations), stub.sent_twice) == (len(run), 2, [])
    assert files() == before


def test_what_the_server_refuses_is_told_and_tried_again(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    stub.is_broken = lambda path: 400 if path.endswith("/calls/complete") else None
    done = command("publish", "out", "--weave", "team/project")
    assert done.code == 5
    assert "the server refused 24 calls (" in done.stderr
    assert "told to" in done.stderr, "why"
    stub.is_broken = lambda path: None
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert (len(stub.traces), stub.sent_twice) == (len(run), [])


def test_without_the_right_to_delete_an_evaluation_that_was_cut_off_stays_and_another_is_made(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """That is said."""
    stub.is_broken = lambda path: 500 if path.endswith("/calls/complete") and stub.traces else None
    assert command("publish", "out", "--weave", "team/project", WEAVE_RETRY_MAX_ATTEMPTS="1").code == 5
    (cut_off,) = (each["id"] for each in stub.evaluations)
    stub.is_broken = lambda path: 403 if path.endswith("/calls/delete") else None
    done = command("publish", "out", "--weave", "team/project")
    assert done.code == 0, done.stderr
    assert "stays there: the server lets nobody delete it" in done.stderr
    assert {each["id"]: each.get("output") is None for each in stub.evaluations}.pop(cut_off)
    assert sum(each.get("output") is not None for each in stub.evaluations) == 2
    assert "delete" not in command("publish", "out", "--weave", "team/project").stderr


def test_another_folder_loses_no_input(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path("out").absolute()
    before = files()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("publish", directory, "--weave", "team/project").code == 0
    assert len(stub.traces) == len(run)
    assert all(call["inputs"]["messages"] for call in stub.traces)
    assert files(str(directory)) == before


def test_a_key_is_found_in_netrc_under_the_name_of_the_server(
    command: Command, stub: WeaveStub, tmp_path: Path
) -> None:
    """Weave itself looks for W&B's only, which is for W&B only."""
    prompts = write_rows("in.jsonl", {"prompt": "one"})
    assert command("run", prompts, "-m", MODELS[0], "--simulate", "-o", "out").code == 0
    netrc = tmp_path / "home/.netrc"
    for number, host in enumerate((stub.base_url.removeprefix("http://"), "127.0.0.1", "api.wandb.ai")):
        key = str(number) * 40
        netrc.write_text(f"machine {host} login user password {key}\n")
        netrc.chmod(0o600)
        done = command("publish", "out", "--weave", f"team/project{number}", WANDB_API_KEY="")
        is_own = host != "api.wandb.ai"
        assert done.code == (0 if is_own else 4), done.stderr
        assert (f"Basic {base64.b64encode(f'api:{key}'.encode()).decode()}" in stub.keys) == is_own
        assert key.encode() not in b"".join(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())
    assert "WANDB_API_KEY" in done.stderr


def test_a_sample_is_the_same_each_time(command: Command, run: list[dict[str, Any]], stub: WeaveStub) -> None:
    """So many rows, each with the answers of both models; the mean stays that of all."""
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


def test_sample_and_all_in_turns_add_nothing_twice(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """Each is there after its first time."""
    for sample in (["--sample", "5"], [], ["--sample", "5"], []):
        assert command("publish", "out", "--weave", "team/project", *sample).code == 0
    assert (len(stub.traces), len(stub.evaluations), stub.sent_twice) == (len(run), 4, [])


def test_an_edited_input_sends_what_is_new_only(command: Command, run: list[dict[str, Any]], stub: WeaveStub) -> None:
    assert command("publish", "out", "--weave", "team/project").code == 0
    rows = Path("problems.jsonl").read_text()
    write_rows("problems.jsonl", problem(99))
    Path("problems.jsonl").write_text(Path("problems.jsonl").read_text() + rows)
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0
    assert "2 calls sent, 24 were there before" in command("publish", "out", "--weave", "team/project").stderr
    assert len(stub.traces) == len(run) + 2
    assert [len(predictions(stub, each)) for each in stub.evaluations] == [ROWS] * 2 + [ROWS + 1] * 2


def test_the_leaderboard_has_one_score_a_model_also_when_the_same_dataset_has_other_results(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """Evaluations of the results that were are still there, and no longer on it."""
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert command("run", "job.toml", "--simulate", "-o", "out", "--restart", "--yes").code == 0
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert len(stub.evaluations) == 4
    assert len(stub.of_class("Dataset")) == 3, "results twice"
    (column,) = stub.of_class("Leaderboard")[-1]["columns"]
    shown = [each for each in stub.evaluations if each["inputs"]["self"] == column["evaluation_object_ref"]]
    assert shown == stub.evaluations[2:]


def test_a_job_is_published_as_its_run_ends(command: Command, stub: WeaveStub) -> None:
    """Or not, where the server is away: that is said, and the run ends as it would have."""
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
