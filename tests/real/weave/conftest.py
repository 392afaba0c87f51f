"""A stand-in for the server of Weave, a run to publish to it, and commands that have the real SDK."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.finished import Finished
from harness.prompts import results, write_rows
from real.conftest import Batchrun
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
    """The stand-in for the server."""
    with weave_stub() as stub:
        yield stub


@pytest.fixture
def strangers() -> Iterator[Outside]:
    """All other machines."""
    with outside() as found:
        yield found


Command = Callable[..., Finished]


@pytest.fixture
def python(installed: Any) -> str:
    """An interpreter with the SDK and the dependencies of batchrun."""
    return str(installed("weave").python)


@pytest.fixture
def command(batchrun: Batchrun, python: str, stub: WeaveStub, strangers: Outside) -> Command:
    """Run a command with the SDK installed, with a key, and with the stub as W&B."""

    def command(*arguments: Any, **variables: str) -> Finished:
        return batchrun(*arguments, python=python, **environment(stub, strangers) | variables)

    return command


def environment(stub: WeaveStub, strangers: Outside) -> dict[str, str]:
    """Return the variables that make the stub W&B, with its key."""
    at_stub = {"WANDB_BASE_URL": stub.base_url, "WF_TRACE_SERVER_URL": f"{stub.base_url}/traces"}
    return {**strangers.variables, **at_stub, "WANDB_API_KEY": KEY}


def problem(number: int, final: str = "?") -> dict[str, Any]:
    """Return a word problem in the form of GSM8K, with its final answer."""
    text = f"Ann has {number} apples and buys {number + 2} more. How many has she now?"
    total = 2 * number + 2
    return {"question": text, "answer": f"{number}+{number + 2}=<<{total}>>{total}\n#### {total}", "final": final}


@pytest.fixture
def run(command: Command) -> list[dict[str, Any]]:
    """A run in `out`: the first model is right in every second row, the second in every third. Returns its rows."""
    write_rows("problems.jsonl", *map(problem, range(ROWS)))
    Path("job.toml").write_text(JOB)
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0
    by_key = {(row["row"], row["model"]): row["response"] for row in results()}
    finals = [by_key[n, MODELS[0]] if n % 2 == 0 else by_key[n, MODELS[1]] if n % 3 == 0 else "?" for n in range(ROWS)]
    write_rows("problems.jsonl", *(problem(number, final.strip()) for number, final in enumerate(finals)))
    assert command("run", "job.toml", "--simulate", "-o", "out").code == 0  # same requests, so nothing is sent
    return results()


def usage_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the usage of a row of the results, in Weave's form."""
    tokens = {name: row[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert tokens["total_tokens"] > 0
    return {row["model"]: {"requests": 1, **tokens, "cache_read_input_tokens": row["cached_tokens"]}}


def predictions(stub: WeaveStub, evaluation: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the predictions of an evaluation: the call that scores it, and the call of the model inside."""
    scoring = [call for call in stub.calls.values() if call["parent_id"] == evaluation["id"]]
    scoring = [call for call in scoring if "/op/Evaluation.predict_and_score:" in call["op_name"]]
    inside = {call["parent_id"]: call for call in stub.calls.values()}
    return [(call, inside[call["id"]]) for call in scoring]


def files(directory: str = "out") -> dict[str, str]:
    """Return a hash of each file of the run."""
    own = ("results.parquet", "usage.parquet", "run.json", "checkpoint.sqlite")
    return {name: hashlib.sha256((Path(directory) / name).read_bytes()).hexdigest() for name in own}
