"""The jobs in `jobs/`: each runs unchanged, and its opening comment shows how."""

import asyncio
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.later import Later
from harness.notebooks import execute, outputs

from batchrun.cli import cli
from batchrun.cli.program import run as run_command_line
from batchrun.engine.runner import arun
from batchrun.job.file import load_job
from batchrun.results.summary import Summary
from batchrun.simulator import Settings, serve

nbformat = Later("nbformat")


ROOT = Path(__file__).parents[1]
JOBS = ROOT / "jobs"
ROWS = {"eval_math": 80, "label_reviews": 60, "overnight": 200}
"""Job → rows of its results: one for each row of the input and each model."""

each_job = pytest.mark.parametrize("name", ROWS)


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Summary]:
    """How each job ended; each is run once, against a simulator that answers without delay."""

    async def run_all() -> dict[str, Summary]:
        async with serve(Settings(latency_s=0.0)) as simulator:
            return {name: await run(name, simulator.base_url) for name in ROWS}

    async def run(name: str, base_url: str) -> Summary:
        directory = str(tmp_path_factory.mktemp(name))
        job = load_job(
            JOBS / f"{name}.toml",
            {("endpoint", "base_url"): ("--base-url", base_url), ("output", "dir"): ("--out", directory)},
        )
        return await arun(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", "simulated")
        return asyncio.run(run_all())


def opening(name: str) -> list[str]:
    """Return the lines of the comment at the top of a job file."""
    lines = (JOBS / f"{name}.toml").read_text().splitlines()
    return [line.removeprefix("#").strip() for line in lines[: lines.index("")]]


def test_every_job_is_tested() -> None:
    """A new file in `jobs` needs an entry in `ROWS`."""
    assert sorted(path.stem for path in JOBS.glob("*.toml")) == sorted(ROWS)


@each_job
def test_a_job_runs_unchanged(name: str, summaries: dict[str, Summary]) -> None:
    """Every row is completed; the test sets only the endpoint and the run directory."""
    summary = summaries[name]
    assert (summary.exit_code, summary.rows, summary.completed) == (0, ROWS[name], ROWS[name])
    results = pq.read_table(summary.results, columns=["status", "response"])
    assert results["response"].null_count == 0
    assert results.num_rows == ROWS[name]


@each_job
def test_a_job_opens_with_a_description_and_its_commands(name: str) -> None:
    """One command for the endpoint, one for the simulator; both are parsed, so every flag in them exists."""
    comment = opening(name)
    assert len(comment[0]) > 60
    commands = [shlex.split(line) for line in comment if line.startswith("batchrun run ")]
    assert commands == [
        ["batchrun", "run", f"jobs/{name}.toml"],
        ["batchrun", "run", f"jobs/{name}.toml", "--simulate", "-o", f"runs/{name}_tried"],
    ]
    run_command = cli.get_command(click.Context(cli), "run")
    assert run_command is not None
    for _, _, *arguments in commands:
        run_command.make_context("run", arguments)


@each_job
def test_a_job_has_its_own_run_directory(name: str) -> None:
    """It is under `runs` next to `jobs`, which git ignores."""
    assert load_job(JOBS / f"{name}.toml").output.dir == str(ROOT / "runs" / name)


@each_job
def test_the_table_that_a_job_names_can_be_shown(
    name: str, summaries: dict[str, Summary], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command in the job's opening comment prints its columns, at most 100 characters wide."""
    [command] = [shlex.split(line) for line in opening(name) if line.startswith("batchrun show ")]
    run, *columns = command[2:]
    assert run == f"runs/{name}_tried"
    assert run_command_line(["show", summaries[name].directory, *columns]) == 0
    head, rule, *rows, count = capsys.readouterr().out.splitlines()
    assert (head.split(), rule.split()) == (columns, ["-" * len(column) for column in columns])
    assert len(rows) == 10
    assert count == f"10 of {ROWS[name]} rows"
    assert max(map(len, rows)) <= 100
    [first] = pq.read_table(summaries[name].results, columns=columns).slice(0, 1).to_pylist()
    assert rows[0].startswith(str(first[columns[0]]))


def test_labels_are_typed_columns_that_agree(summaries: dict[str, Summary]) -> None:
    """Each property of the schema is a column, and the simulator's reasons name its labels."""
    table = pq.read_table(summaries["label_reviews"].results, columns=["label", "confidence", "reason"])
    assert table.schema.types == [pa.dictionary(pa.int32(), pa.string()), pa.float64(), pa.string()]
    rows = table.to_pylist()
    assert {row["label"] for row in rows} == {"positive", "negative", "neutral", "mixed"}
    assert all(row["reason"].lower().startswith(row["label"]) and 0 <= row["confidence"] <= 1 for row in rows)


def test_make_demo_shows_a_table_and_says_when_there_was_nothing_to_do(tmp_path: Path) -> None:
    """The messages come first; the cost and the file of the answers come last."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(JOBS, tmp_path / "jobs")
    shown = make_demo(tmp_path)
    assert shown.index("id    label     confidence  reason") < shown.index("10 of 60 rows") < shown.index("Cost: none")
    assert shown.rstrip().endswith("runs/demo/results.parquet")
    assert (tmp_path / "runs" / "demo" / "results.parquet").exists()
    again = make_demo(tmp_path)
    assert re.match(r"[\d-]{10} [\d:]{8} done      nothing to send: 60 of 60 rows completed, 0 failed\n", again)
    assert "for real" in shown
    assert "for real" not in again
    assert again.partition("\n\n")[2] == shown.partition("\n\n")[2]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after its execution in a real kernel, unchanged, in a copy of the folder."""
    folder = tmp_path_factory.mktemp("checkout") / "jobs"
    shutil.copytree(JOBS, folder)
    return execute(nbformat.read(folder / "label_reviews.ipynb", as_version=4), folder)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_notebook_runs_unchanged(notebook: Any) -> None:
    """Without a key; no cell has an error, and each shows what its text announces."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in code if any(each.output_type == "error" for each in cell.outputs)] == []
    shown = [outputs(cell) for cell in code]
    assert "60 of 60 rows completed, simulated" in shown[1]
    assert "60 completed, 0 failed" in shown[3]
    assert "10 of 70 rows were sent" in shown[4]
    assert "<iframe" in code[5].outputs[-1]["data"]["text/html"]


def test_the_notebook_is_kept_without_outputs() -> None:
    """It opens with a heading and a description."""
    kept = nbformat.read(JOBS / "label_reviews.ipynb", as_version=4)
    assert kept.cells[0].source.startswith("# Label product reviews\n\n60 reviews")
    assert [cell.source for cell in kept.cells if cell.get("outputs") or cell.get("execution_count")] == []


def make_demo(folder: Path) -> str:
    """Run `make demo` in a folder, without its installation; return its output."""
    command = ["make", "--no-print-directory", "--old-file=.venv/.installed", "demo", f"RUN={sys.executable}"]
    return subprocess.run(
        command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout


def test_an_evaluation_scores_both_models(summaries: dict[str, Summary]) -> None:
    """Every answer has a score, although the simulator's answers are wrong."""
    table = pq.read_table(summaries["eval_math"].results)
    assert table["score"].null_count == 0
    assert [each["model"] for each in summaries["eval_math"].scores] == list(load_job(JOBS / "eval_math.toml").models)


def test_an_evaluation_has_the_correct_answer_in_every_row(summaries: dict[str, Summary]) -> None:
    """Both models answer every problem; each row keeps the input's `answer`."""
    rows = pq.read_table(summaries["eval_math"].results).to_pylist()
    models = load_job(JOBS / "eval_math.toml").models
    assert [(row["custom_id"], row["model"]) for row in rows[:4]] == [
        ("m01", models[0]),
        ("m01", models[1]),
        ("m02", models[0]),
        ("m02", models[1]),
    ]
    assert {(row["custom_id"], row["answer"]) for row in rows} >= {("m01", "159"), ("m40", "5")}


def test_articles_are_what_their_script_makes() -> None:
    """The Parquet file can be made again, and has nested columns and nulls."""
    made = runpy.run_path(str(JOBS / "data" / "make_articles.py"))["table"]()
    stored = pq.read_table(JOBS / "data" / "articles.parquet")
    assert stored.equals(made)
    assert all(stored[name].null_count for name in ("subtitle", "author", "published_at", "tags"))
