"""The jobs that come with batchrun: each runs as it stands, and its opening comment says how."""

import asyncio
import runpy
import shlex
from pathlib import Path

import click
import orjson
import pyarrow.parquet as pq
import pytest

from batchrun.cli import cli
from batchrun.engine.runner import arun
from batchrun.job.file import load_job
from batchrun.results.summary import Summary
from batchrun.simulator import Settings, serve

ROOT = Path(__file__).parents[1]
JOBS = ROOT / "jobs"
ROWS = {"eval_math": 80, "label_reviews": 60, "overnight": 200}
"""Job → rows of its results: one for each row of its input and model."""

each_job = pytest.mark.parametrize("name", ROWS)


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Summary]:
    """How each job ended, run once against a simulator that answers at once."""

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
    """Return the lines of the comment that a job file opens with."""
    lines = (JOBS / f"{name}.toml").read_text().splitlines()
    return [line.removeprefix("#").strip() for line in lines[: lines.index("")]]


def test_every_job_is_tested() -> None:
    """A new file in `jobs` wants a line here."""
    assert sorted(path.stem for path in JOBS.glob("*.toml")) == sorted(ROWS)


@each_job
def test_a_job_runs_as_it_stands(name: str, summaries: dict[str, Summary]) -> None:
    """Every row is completed; only where the endpoint is and where the results go was said."""
    summary = summaries[name]
    assert (summary.exit_code, summary.rows, summary.completed) == (0, ROWS[name], ROWS[name])
    results = pq.read_table(summary.results, columns=["status", "response"])
    assert results["response"].null_count == 0
    assert results.num_rows == ROWS[name]


@each_job
def test_a_job_opens_with_what_it_does_and_its_commands(name: str) -> None:
    """One for the endpoint, one to try it; each is parsed, so that no flag in them is made up."""
    comment = opening(name)
    assert len(comment[0]) > 60
    commands = [shlex.split(line) for line in comment if line.startswith("batchrun ")]
    tried = f"runs/{name}_tried"
    assert commands == [
        ["batchrun", "run", f"jobs/{name}.toml"],
        ["batchrun", "run", f"jobs/{name}.toml", "--simulate", "-o", tried],
    ]
    assert f"python jobs/show.py {tried}/results.parquet" in comment
    run_command = cli.get_command(click.Context(cli), "run")
    assert run_command is not None
    for _, _, *arguments in commands:
        run_command.make_context("run", arguments)


@each_job
def test_a_job_keeps_its_run_apart(name: str) -> None:
    """Under `runs`, which git ignores, in a folder of its own name."""
    assert load_job(JOBS / f"{name}.toml").output.dir == f"runs/{name}"


@each_job
def test_answers_can_be_shown(name: str, summaries: dict[str, Summary], capsys: pytest.CaptureFixture[str]) -> None:
    """`show.py` prints the rows asked for: how many there are, and what was answered."""
    runpy.run_path(str(JOBS / "show.py"))["main"]([summaries[name].results, "2"])
    shown = capsys.readouterr().out
    assert shown.startswith(f"{summaries[name].results}: {ROWS[name]} completed\n")
    assert shown.count("\nrow ") == shown.count("\n  response ") == 2


def test_labels_are_json(summaries: dict[str, Summary]) -> None:
    """The endpoint is asked for JSON, and so the label can be taken out."""
    answers = pq.read_table(summaries["label_reviews"].results)["response"].to_pylist()
    assert {orjson.loads(answer)["label"] for answer in answers} <= {"positive", "negative", "neutral", "mixed"}


def test_an_evaluation_scores_both_models(summaries: dict[str, Summary]) -> None:
    """What the simulator makes up is not right, and every answer has a score all the same."""
    table = pq.read_table(summaries["eval_math"].results)
    assert table["score"].null_count == 0
    assert [each["model"] for each in summaries["eval_math"].scores] == list(load_job(JOBS / "eval_math.toml").models)


def test_an_evaluation_has_the_right_answer_beside_every_model_s(summaries: dict[str, Summary]) -> None:
    """Both models answer every problem, and the input's `answer` stands beside what they said."""
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
    """The Parquet file can be made again, and has what makes Parquet worth having: nested columns and nulls."""
    made = runpy.run_path(str(JOBS / "data" / "make_articles.py"))["table"]()
    stored = pq.read_table(JOBS / "data" / "articles.parquet")
    assert stored.equals(made)
    assert all(stored[name].null_count for name in ("subtitle", "author", "published_at", "tags"))
