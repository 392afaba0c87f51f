"""Watching a run from another process, during the run and afterwards."""

from pathlib import Path
from typing import Any

from harness.prompts import write_prompts

from batchrun.publish.wandb.figures import live_figures
from batchrun.records import RowCount
from batchrun.results.state import figures_of, is_running

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def test_a_run_is_watched_until_it_ends(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """It shows rows, limit and requests in flight, and at the end how the run ended."""
    write_prompts("0", "1", *(f"[[simulate: slow 30]] {row}" for row in range(4)))
    endpoint.change(latency_s=0)
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "50")
    endpoint.wait(lambda: endpoint.stats.received == 6)
    endpoint.wait(lambda: Path("out/run.json").exists() and figures_of(Path("out")).total == RowCount(6, is_exact=True))
    endpoint.wait(lambda: figures_of(Path("out")).done == 2)
    figures = figures_of(Path("out"))
    assert (figures.in_flight, figures.failed) == (4, 0)
    assert figures.limit >= 4
    assert is_running(Path("out"))
    process.kill()
    process.wait()
    done = batchrun("watch", "out")
    assert done.code == 0
    assert "stopped   2 rows completed, 0 failed so far" in done.stderr
    assert "the process has died" in done.stderr


def test_copied_answers_do_not_change_the_requests_in_flight(spawn: Any, endpoint: Any) -> None:
    """Nothing was sent for a copy, so it must not count as a request that has ended."""
    prompts = ["same"] * 12 + [f"[[simulate: slow 30]] {row}" for row in range(4)]
    write_prompts(*prompts)
    Path("job.toml").write_text(f'[input]\npath = "in.jsonl"\ndedupe = true\n[model]\nname = "{MODEL}"\n')
    endpoint.change(latency_s=0)
    process = spawn("run", "job.toml", "--base-url", endpoint.base_url, "-o", "out", "-c", "50")
    endpoint.wait(lambda: endpoint.stats.received == 5)
    endpoint.wait(lambda: Path("out/run.json").exists() and figures_of(Path("out")).done == 12)
    assert figures_of(Path("out")).in_flight == live_figures(Path("out"))["in_flight"] == 4
    process.kill()
    process.wait()


def test_the_end_of_a_finished_run_is_shown_immediately(run: Any, batchrun: Any) -> None:
    """The counts are shown too. A folder without a run is an error."""
    run(write_prompts("a", "b"))
    done = batchrun("watch", "out")
    assert "done      2 of 2 rows completed, 0 failed" in done.stderr
    done = batchrun("watch", "nowhere")
    assert (done.code, "holds no run" in done.stderr) == (3, True)
