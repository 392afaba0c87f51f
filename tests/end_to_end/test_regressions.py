"""Defects that reviews found, which must not return."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def prompts(name: str | bytes, *texts: str) -> Any:
    """Write a file of prompts; return its name."""
    with open(name, "wb") as file:  # noqa: PTH123  # a name may be bytes
        file.write(b"".join(b'{"prompt": "%s"}\n' % text.encode() for text in texts))
    return name


def test_a_file_name_that_is_not_utf_8_loses_no_answer(run: Any) -> None:
    """Its broken rows are recorded like all others."""
    Path("folder").mkdir()
    with open(b"folder/\xff.jsonl", "wb") as file:  # noqa: PTH123
        file.write(b'not json\n{"prompt": "a"}\n')
    done = run("folder")
    assert done.code == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert pq.read_table("out/results.parquet")["status"].to_pylist() == ["failed", "completed"]


def test_a_cap_holds_over_all_executions_even_if_answers_state_no_tokens(run: Any, endpoint: Any) -> None:
    """Unknown tokens count with their maximum, and the amount is recorded."""
    endpoint.change(error_shares={"no_usage": 1})
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{MODEL}"\nmax_tokens = 100\n[limits]\nmax_cost_usd = 0.005\n'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n'
    )
    prompts("in.jsonl", *(f"number {number}" for number in range(100)))
    codes = [run("job.toml", model=None).code for _ in range(3)]
    first = endpoint.stats.answered
    assert codes == [5, 5, 5]
    assert first * 100 <= 5_000  # at least 100 tokens each, with money for 5,000 tokens


def test_a_run_stops_if_its_directory_disappears(spawn: Any, endpoint: Any) -> None:
    """No more requests are sent, because their answers would be lost."""
    endpoint.change(latency_s=0.05)
    name = prompts("in.jsonl", *(f"number {number}" for number in range(3_000)))
    process = spawn("run", name, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", 4)
    endpoint.wait(lambda: endpoint.stats.answered > 20)
    shutil.rmtree("out")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "was deleted or moved during the run" in stderr
    assert "Traceback" not in stderr
    assert endpoint.stats.answered < 1_000


@pytest.mark.parametrize("fault", ["401", "403", "404"])
def test_one_refused_row_does_not_stop_every_later_execution(run: Any, fault: str) -> None:
    """Other rows were answered in an earlier execution, so only this row fails."""
    name = prompts("in.jsonl", f"[[simulate: {fault}]] a", *(f"number {number}" for number in range(20)))
    codes = [run(name, "-c", 4, "--max-attempts", 2).code for _ in range(3)]
    assert codes[-1] == 1
    assert pq.read_table("out/results.parquet")["status"].to_pylist() == ["failed"] + ["completed"] * 20


def test_zstd_is_read_without_messages(spawn: Any, endpoint: Any) -> None:
    """Arrow prints nothing."""
    with pa.output_stream("in.jsonl.zst", compression="zstd") as stream:
        stream.write(b'{"prompt": "a"}\n' * 3)
    process = spawn("run", "in.jsonl.zst", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--quiet")
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")


def test_an_empty_pipe_does_not_change_the_stored_input(run: Any, batchrun: Any) -> None:
    """A failed command before the pipe is a common mistake."""
    run("-", stdin=b'{"prompt": "a", "n": 1}\n')
    assert run("-", stdin=b"").code == 2
    assert batchrun("export", "out").code == 0
    assert pq.read_table("out/results.parquet")["n"].to_pylist() == [1]


def test_a_run_stops_if_its_ticker_dies(run: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it no deadline would be kept, so the run stops with all answers on disk."""

    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    endpoint.change(latency_s=0.05)
    monkeypatch.setattr("batchrun.engine.ticker.Watch._figures", fails)
    name = prompts("in.jsonl", *(f"number {number}" for number in range(500)))
    monkeypatch.setattr("tempfile.tempdir", ".")  # the place of the traceback
    done = run(name, "-c", 2)
    assert done.code == 70
    assert "ZeroDivisionError" in done.stderr
    assert endpoint.stats.answered < 100
