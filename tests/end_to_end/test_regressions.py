"""What fresh eyes found, and must not come back."""

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


def test_a_file_name_that_is_not_utf_8_costs_no_answer(run: Any) -> None:
    """Its broken rows are rows like others, and the checkpoint's writer lives on."""
    Path("folder").mkdir()
    with open(b"folder/\xff.jsonl", "wb") as file:  # noqa: PTH123
        file.write(b'not json\n{"prompt": "a"}\n')
    done = run("folder")
    assert done.code == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert pq.read_table("out/results.parquet")["status"].to_pylist() == ["failed", "completed"]


def test_a_cap_holds_across_runs_also_where_no_answer_states_its_tokens(run: Any, endpoint: Any) -> None:
    """What could not be told is booked at its worst, and remembered."""
    endpoint.change(error_shares={"no_usage": 1})
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{MODEL}"\nmax_tokens = 100\n[limits]\nmax_cost_usd = 0.005\n'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n'
    )
    prompts("in.jsonl", *(f"number {number}" for number in range(100)))
    codes = [run("job.toml", model=None).code for _ in range(3)]
    first = endpoint.stats.answered
    assert codes == [5, 5, 5]
    assert first * 100 <= 5_000  # at 100 tokens each, at least, for 5,000 tokens' worth of money


def test_a_folder_that_vanishes_stops_the_run(spawn: Any, endpoint: Any) -> None:
    """Nothing more is bought into a lost file."""
    endpoint.change(latency_s=0.05)
    name = prompts("in.jsonl", *(f"number {number}" for number in range(3_000)))
    process = spawn("run", name, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", 4)
    endpoint.wait(lambda: endpoint.stats.answered > 20)
    shutil.rmtree("out")
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 3
    assert "was deleted or moved during the run" in stderr
    assert "Traceback" not in stderr
    assert endpoint.stats.answered < 1_000


@pytest.mark.parametrize("fault", ["401", "403", "404"])
def test_a_row_that_is_refused_alone_does_not_end_every_further_run(run: Any, fault: str) -> None:
    """Others were answered in an earlier run: this row fails by itself."""
    name = prompts("in.jsonl", f"[[simulate: {fault}]] a", *(f"number {number}" for number in range(20)))
    codes = [run(name, "-c", 4, "--max-attempts", 2).code for _ in range(3)]
    assert codes[-1] == 1
    assert pq.read_table("out/results.parquet")["status"].to_pylist() == ["failed"] + ["completed"] * 20


def test_zstd_is_read_in_silence(spawn: Any, endpoint: Any) -> None:
    """Arrow says nothing of its own."""
    with pa.output_stream("in.jsonl.zst", compression="zstd") as stream:
        stream.write(b'{"prompt": "a"}\n' * 3)
    process = spawn("run", "in.jsonl.zst", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--quiet")
    _, stderr = process.communicate(timeout=10)
    assert (process.returncode, stderr) == (0, "")


def test_an_empty_pipe_leaves_the_kept_input_as_it_was(run: Any, batchrun: Any) -> None:
    """A command that failed upstream is an ordinary mistake."""
    run("-", stdin=b'{"prompt": "a", "n": 1}\n')
    assert run("-", stdin=b"").code == 2
    assert batchrun("export", "out").code == 0
    assert pq.read_table("out/results.parquet")["n"].to_pylist() == [1]


def test_a_watch_that_dies_stops_the_run(run: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it no deadline would be kept: better to stop, with what was answered on disk, than to go on blindly."""

    def fails(watch: Any) -> None:
        raise ZeroDivisionError

    endpoint.change(latency_s=0.05)
    monkeypatch.setattr("batchrun.engine.ticker.Watch._figures", fails)
    name = prompts("in.jsonl", *(f"number {number}" for number in range(500)))
    monkeypatch.setattr("tempfile.tempdir", ".")  # where the traceback goes
    done = run(name, "-c", 2)
    assert done.code == 70
    assert "ZeroDivisionError" in done.stderr
    assert endpoint.stats.answered < 100
