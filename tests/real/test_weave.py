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
from harness.prompts import results, write_rows
from real.conftest import Batchrun, Said
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


Command = Callable[..., Said]


@pytest.fixture
def python(installed: Any) -> str:
    """An interpreter that has the SDK, and what batchrun depends on."""
    return str(installed("weave").python)


@pytest.fixture
def command(batchrun: Batchrun, python: str, stub: WeaveStub, strangers: Outside) -> Command:
    """Run a command beside the SDK, with a key, and the stub as W&B."""

    def command(*arguments: Any, **variables: str) -> Said:
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
    said = {(row["row"], row["model"]): row["response"] for row in results()}
    finals = [said[n, MODELS[0]] if n % 2 == 0 else said[n, MODELS[1]] if n % 3 == 0 else "?" for n in range(ROWS)]
    write_rows("problems.jsonl", *(problem(number, final.strip()) for number, final in enumerate(finals)))
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0  # asks the same, so nothing is sent
    return results()


def files(directory: str = "out") -> dict[str, str]:
    """Return a hash of each file that is the run's own."""
    own = ("results.parquet", "usage.parquet", "run.json", "checkpoint.sqlite")
    return {name: hashlib.sha256((Path(directory) / name).read_bytes()).hexdigest() for name in own}


def test_two_models_become_two_evaluations_and_one_leaderboard_and_again_adds_nothing(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub, strangers: Outside
) -> None:
    """Exact match over word problems: scores, means, dataset and results are there as results.parquet has them."""
    before = files()
    said = command("publish", "out", "--weave", "team/project")
    assert (said.code, said.stdout) == (0, ""), said.stderr
    means = {model: sum(row["score"] for row in run if row["model"] == model) / ROWS for model in MODELS}
    assert means[MODELS[0]] == 0.5

    evaluations = {each["display_name"]: each for each in stub.evaluations}
    assert set(evaluations) == {f"out: {model}" for model in MODELS}
    for model in MODELS:
        evaluation = evaluations[f"out: {model}"]
        assert evaluation["output"]["exact"]["mean"] == means[model]
        children = [call for call in stub.calls.values() if call["parent_id"] == evaluation["id"]]
        outputs = [call["output"] for call in children if "/op/Evaluation.predict_and_score:" in call["op_name"]]
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
        tokens = {name: row[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        assert call["summary"]["usage"] == {row["model"]: {"requests": 1, **tokens}}
        assert call["summary"]["cost_usd"] == row["cost_usd"] > 0
        assert call["exception"] is None


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
        said = command("publish", "out", "--weave", "team/project", WEAVE_RETRY_MAX_ATTEMPTS="1")
        assert said.code == 5, (path, said)
        assert "team/project" in said.stderr
        assert "publish" in said.stderr
        assert "Traceback" not in said.stderr
    stub.is_broken = lambda asked: None
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert (len(stub.traces), len(stub.evaluations), stub.sent_twice) == (len(run), 2, [])
    assert files() == before


def test_a_key_is_found_in_netrc_under_either_name(command: Command, stub: WeaveStub, tmp_path: Path) -> None:
    """Weave itself knows only the old one."""
    assert (
        command("run", write_rows("in.jsonl", {"prompt": "one"}), "-m", MODELS[0], "--simulate", "-o", "out").code == 0
    )
    netrc = tmp_path / "home/.netrc"
    for number, host in enumerate(("api.wandb.ai", "api.forge.coreweave.com")):
        key = str(number) * 40
        netrc.write_text(f"machine {host} login user password {key}\n")
        netrc.chmod(0o600)
        said = command("publish", "out", "--weave", f"team/project{number}", WANDB_API_KEY="")
        assert said.code == 0, said.stderr
        assert f"Basic {base64.b64encode(f'api:{key}'.encode()).decode()}" in stub.keys
        assert key.encode() not in b"".join(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())
    netrc.unlink()
    said = command("publish", "out", "--weave", "team/other", WANDB_API_KEY="")
    assert said.code == 4
    assert "WANDB_API_KEY" in said.stderr


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


def test_a_job_is_published_as_its_run_ends(command: Command, stub: WeaveStub) -> None:
    """Or not, where the server is away: that is said, and the run ends as it would have."""
    write_rows("problems.jsonl", *map(problem, range(3)))
    Path("job.toml").write_text(JOB + '\n[publish]\nweave = "team/project"\n')
    stub.is_broken = lambda path: 500
    said = command("run", "job.toml", "--simulate", "-o", "away", WEAVE_RETRY_MAX_ATTEMPTS="1")
    assert said.code == 0
    assert "batchrun publish away --weave team/project" in said.stderr
    stub.is_broken = lambda path: None
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0
    assert (len(stub.traces), len(stub.evaluations)) == (6, 2)
    assert command("publish", "away").code == 0
    assert (len(stub.traces), len(stub.evaluations)) == (12, 4)
