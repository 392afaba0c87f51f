"""The commands other than `run`, and rules for all commands."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import columns, results, write_prompts

import batchrun as package

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def test_version(batchrun: Any) -> None:
    """It is one line, to copy into a bug report."""
    done = batchrun("--version")
    assert (done.code, done.stdout) == (0, f"batchrun, version {package.__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(batchrun: Any, arguments: list[str]) -> None:
    """In the order in which a new user needs them."""
    done = batchrun(*arguments)
    assert done.code == 0
    assert re.findall(r"^  (\w+)  ", done.stdout, re.MULTILINE) == [
        "run",
        "check",
        "init",
        "status",
        "watch",
        "show",
        "export",
        "compare",
        "report",
        "publish",
        "models",
        "simulate",
    ]


@pytest.mark.parametrize(
    "command", ["run", "check", "init", "status", "watch", "show", "export", "compare", "report", "models", "simulate"]
)
def test_every_command_has_help_with_an_example(batchrun: Any, command: str) -> None:
    """The example can be copied."""
    done = batchrun(command, "--help")
    assert done.code == 0
    assert re.search(rf"^ +(cat \S+ \| )?batchrun {command}", done.stdout, re.MULTILINE)


FLAGS = (
    "--model --out --system --template --base-url --project --api-key-env --max-concurrency --requests-per-minute "
    "--tokens-per-minute --max-attempts --timeout-s --max-cost --max-tokens-total --stop-at --max-duration "
    "--temperature --max-tokens --top-p --seed --stop --num-samples --stream --no-stream --limit --id --keep "
    "--where --sample --sample-seed --shuffle --include-failed --schema --target --scorer --pattern --field --param "
    "--retry-failed --restart --strict --patience --yes --simulate --json --quiet --allow-http -m -o -s -t -c"
)


def test_run_has_every_flag_of_the_reference(batchrun: Any) -> None:
    """The flags are grouped under headings."""
    text = batchrun("run", "--help").stdout
    assert [flag for flag in FLAGS.split() if not re.search(rf"(^|[\s,/]){flag}\b", text)] == []
    for heading in ("Input", "Prompt", "Model", "Answers", "Endpoint", "Limits", "Output", "Run"):
        assert f"\n{heading}:\n" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_completion_script(spawn: Any, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    """It is the one that the help names."""
    monkeypatch.setenv("_BATCHRUN_COMPLETE", f"{shell}_source")
    process = spawn()
    stdout, stderr = process.communicate(timeout=60)
    if "bash" in stderr.lower():
        pytest.skip("no bash of a version that click can ask")
    assert process.returncode == 0
    assert "_BATCHRUN_COMPLETE" in stdout


def test_commands_and_flags_are_completed(spawn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first letters are enough."""
    monkeypatch.setenv("_BATCHRUN_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "batchrun run --max-c")
    monkeypatch.setenv("COMP_CWORD", "2")
    stdout, _ = spawn().communicate(timeout=60)
    assert {"plain,--max-concurrency", "plain,--max-cost"} == set(stdout.split())


def test_status_shows_how_a_run_ended(run: Any, batchrun: Any) -> None:
    """As text, and as one line of JSON with the fields of run.json."""
    run(write_prompts("a", "[[simulate: 400]]"))
    done = batchrun("status", "out")
    assert done.code == 0
    assert "1 of 2 rows completed, 1 failed" in done.stdout
    assert batchrun("status", "out", "--json").json == json.loads(Path("out/run.json").read_text())


def test_status_works_without_run_json(run: Any, batchrun: Any) -> None:
    """The counts come from the checkpoint; run.json may be missing or changed by a script."""
    run(write_prompts("a"))
    for content in (None, "", "[]", "{"):
        Path("out/run.json").unlink() if content is None else Path("out/run.json").write_text(content)
        assert batchrun("status", "out", "--json").json["completed"] == 1


def test_export_writes_the_results_again(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Nothing is sent, so the endpoint is not needed."""
    run(write_prompts("a", "b"))
    before = results()
    Path("out/results.parquet").unlink()
    Path("out/usage.parquet").unlink()
    done = batchrun("export", "out")
    assert done.code == 0
    assert "out/results.parquet" in done.stderr
    assert results() == before
    assert Path("out/usage.parquet").exists()
    assert endpoint.stats.received == 2


def test_export_without_the_input_leaves_its_columns_out(run: Any, batchrun: Any) -> None:
    """A message reports it."""
    run(write_prompts("a", "b"))
    responses = [row["response"] for row in results()]
    Path("in.jsonl").unlink()
    done = batchrun("export", "out")
    assert done.code == 0
    assert "without the input's columns" in done.stderr
    assert "prompt" not in columns()
    assert [row["response"] for row in results()] == responses


def test_export_never_joins_an_answer_with_another_row_of_an_edited_input(run: Any, batchrun: Any) -> None:
    """The message asks the user to run the job again."""
    run(write_prompts("a", "b"))
    responses = [row["response"] for row in results()]
    write_prompts("x", "a", "b")
    done = batchrun("export", "out")
    assert done.code == 0
    assert "has changed" in done.stderr
    assert [(row.get("prompt"), row["response"]) for row in results()] == [(None, each) for each in responses]


def test_export_of_piped_rows_has_their_columns(run: Any, batchrun: Any) -> None:
    """The run directory keeps the rows of standard input."""
    run("-", stdin=b'{"prompt": "a", "n": 1}\n')
    assert batchrun("export", "out").code == 0
    assert results()[0]["n"] == 1


def test_models_lists_the_served_models(batchrun: Any, endpoint: Any) -> None:
    """One name per line, or one line of JSON."""
    endpoint.change(models=["b/two", "a/one"])
    done = batchrun("models", "--base-url", endpoint.base_url)
    assert (done.code, done.stdout) == (0, "a/one\nb/two\n")
    done = batchrun("models", "--base-url", endpoint.base_url, "--json")
    assert (done.json["base_url"], done.json["models"]) == (endpoint.base_url, ["a/one", "b/two"])


def test_models_with_a_wrong_key_exits_4(batchrun: Any, endpoint: Any) -> None:
    """The message says what to check."""
    endpoint.change(keys=["sk-right"])
    done = batchrun("models", "--base-url", endpoint.base_url)
    assert (done.code, done.stdout) == (4, "")
    assert "Authentication failed" in done.stderr
    assert "check the key" in done.stderr


@pytest.fixture
def unreachable(endpoint: Any) -> str:
    """The URL of a port without a server."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/v1"


def test_models_of_an_unreachable_endpoint_exits_4(batchrun: Any, unreachable: str) -> None:
    """As of `run`, to which nothing has ever answered; the message has the address."""
    done = batchrun("models", "--base-url", unreachable)
    assert (done.code, done.stdout) == (4, "")
    assert unreachable in done.stderr
    assert "Traceback" not in done.stderr


def test_simulate_serves_until_it_is_stopped(spawn: Any, batchrun: Any) -> None:
    """It is a separate process, and `batchrun run` works with it."""
    process = spawn("simulate", "--port", "0", "--json", "--latency-s", "0")
    base_url = json.loads(process.stdout.readline())["base_url"]
    assert batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", base_url, "-o", "out").code == 0
    process.terminate()
    assert process.wait(10) == 0


def test_export_keeps_the_columns_of_an_input_with_a_new_time_or_more_rows(run: Any, batchrun: Any) -> None:
    """Every answer is still in the row of its prompt."""
    run(write_prompts("a", "b"))
    before = results()
    write_prompts("a", "b", "c")
    done = batchrun("export", "out")
    assert "note" not in done.stderr
    assert results() == before
