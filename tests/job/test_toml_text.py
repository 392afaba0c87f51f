"""A job as a job file: read again, it is the same job."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.evaluate import Evaluate
from batchrun.job.file import load_job
from batchrun.job.sections import Input, Job, Limits, Model, Output, Price, PromptTemplates, Response

JOBS = Path(__file__).parents[2] / "jobs"

INPUT = Input(path="a.jsonl")

SCHEMA = {"type": "object", "properties": {"why": {"type": ["string", "null"], "default": None, "title": 'a "b"'}}}


def read(text: str, folder: Path) -> Job:
    (folder / "job.toml").write_text(text, encoding="utf-8")
    return load_job(folder / "job.toml")


def plain(job: Job, folder: Path) -> Job:
    """Return a job of a file as it is in Python: paths relative to the folder, without what only a file knows."""
    paths = tuple(str(Path(path).relative_to(folder)) if "/" in path else path for path in job.input.path)
    reuse = tuple(str(Path(path).relative_to(folder)) for path in job.input.reuse)
    directory = str(Path(job.output.dir).relative_to(folder))
    return dataclasses.replace(
        job,
        name="batch",
        earlier_directory=None,
        input=dataclasses.replace(job.input, path=paths, reuse=reuse),
        output=dataclasses.replace(job.output, dir=directory),
    )


JOB = Job(
    input=Input(path=["a.jsonl", "b.csv"], id="key", limit=5, dedupe=True, reuse=["runs/one", "two"]),
    prompt=PromptTemplates(system="Be 'brief'.", user='Label:\n\n{{ text }}\n"quoted" \\ and é\n'),
    model=Model(
        name="meta/a", temperature=0.5, stop=["END", "\n\n"], extra_body={"top_k": 5, "x y": {"deep": [1, True]}}
    ),
    endpoint=Endpoint(base_url="https://host/v1", api_key_env="MY_KEY"),
    limits=Limits(patience="12h", max_duration="1h30m", max_cost_usd=5.0),
    output=Output(dir="runs/labels", keep=["text", "stars"]),
    response=Response(schema=SCHEMA, repair_attempts=0),
    evaluate=Evaluate(target="label", scorers={"loose": {"scorer": "contains"}}),
    prices={"meta/a": Price(input_usd_per_mtok=0.1, output_usd_per_mtok=2)},
)


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Texts of several lines, nulls in a schema, nested keys and durations included."""
    assert plain(read(JOB.to_toml(), tmp_path), tmp_path) == JOB


def test_it_is_written_for_people() -> None:
    """One model is a `name`, durations have units, and defaults are left out."""
    text = JOB.to_toml()
    for line in ('name = "meta/a"', 'patience = "12h"', 'max_duration = "1h30m"', '[prices."meta/a"]', "user = '''"):
        assert line in text
    assert "max_attempts" not in text
    assert Job(input=INPUT).to_toml().split("\n\n")[0] == '[input]\npath = "a.jsonl"'


@pytest.mark.parametrize("name", [path.stem for path in JOBS.glob("*.toml")])
def test_a_job_file_survives(name: str, tmp_path: Path) -> None:
    """Its paths are rewritten for the folder where the file will be."""
    job = load_job(JOBS / f"{name}.toml")
    again = read(job.to_toml(folder=tmp_path), tmp_path)
    for field in dataclasses.fields(Job):
        if field.name not in ("name", "earlier_directory"):
            assert getattr(again, field.name) == getattr(job, field.name)


def test_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    text = Job(input=INPUT, output=Output(dir="runs/x")).to_toml("jobs")
    assert 'path = "../a.jsonl"' in text
    assert 'dir = "../runs/x"' in text


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_text_survives(text: str, key: str) -> None:
    import tomllib

    job = Job(input=INPUT, prompt=PromptTemplates(user=text), model=Model(extra_body={key: {key: text}}))
    tables = tomllib.loads(job.to_toml())
    assert (tables["prompt"]["user"], tables["model"]["extra_body"]) == (text, {key: {key: text}})


@pytest.mark.parametrize("value", [None, float("inf"), object()])
def test_a_value_that_toml_lacks_is_named(value: Any) -> None:
    with pytest.raises(JobError, match=r"model\.extra_body\.x.* a job file cannot hold it"):
        Job(input=INPUT, model=Model(extra_body={"x": [value]})).to_toml()
