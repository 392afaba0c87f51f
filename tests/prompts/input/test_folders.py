"""A folder as input: runs in it are not read, and the files that are read are named."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.folders import folder_notices
from batchrun.storage.runs import RUN_FILE


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(*paths: str, content: str = '{"prompt": "a"}\n') -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content)


def found(path: str) -> list[str]:
    return [file.path for file in find_files([path])]


def test_the_files_of_a_run_are_not_input_of_the_folder_above_it() -> None:
    """Otherwise the second `batchrun run .` would send the answers of the first."""
    write("in.jsonl", f"runs/one/{RUN_FILE}", "runs/one/results.jsonl", "more/in.jsonl")
    assert found(".") == ["in.jsonl", "more/in.jsonl"]


def test_a_run_that_is_named_is_read_by_its_results_alone() -> None:
    """Neither its totals nor other files in it are rows, and no notice lists them."""
    write("runs/one/in.jsonl", f"runs/one/{RUN_FILE}")
    pq.write_table(pa.table({"status": ["completed"]}), "runs/one/results.parquet")
    assert found("runs/one") == ["runs/one/results.parquet"]
    assert folder_notices(["runs/one"], found("runs/one")) == []


@pytest.mark.parametrize(
    ("files", "notice"),
    [
        (["a.jsonl"], "data: 1 file is read: a.jsonl"),
        (["a.jsonl", "b/c.csv"], "data: 2 files are read: a.jsonl, b/c.csv"),
        ([f"{n}.csv" for n in range(7)], "data: 7 files are read: 0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 2 more"),
    ],
)
def test_the_files_of_a_folder_are_named(files: list[str], notice: str) -> None:
    write(*(f"data/{name}" for name in files))
    assert folder_notices(["data", "other.jsonl"], [*found("data"), "other.jsonl"]) == [notice]


def test_a_job_file_in_a_folder_is_named_with_its_command() -> None:
    """Whether or not there is input; other TOML files are not jobs."""
    write("data/pyproject.toml", content="[project]")
    write("data/my job.toml", content="[input]\npath = 'a.jsonl'\n")
    command = "; to run the job file in it: batchrun run 'data/my job.toml'"
    with pytest.raises(InputError, match=command):
        find_files(["data"])
    write("data/a.jsonl")
    assert folder_notices(["data"], found("data")) == [f"data: 1 file is read: a.jsonl{command}"]


def test_a_folder_of_runs_names_one_of_them() -> None:
    """Its answers are what the user most likely means."""
    write(f"runs/first/{RUN_FILE}", "runs/first/results.jsonl")
    with pytest.raises(InputError, match="to use the answers of a run in it, name that run, such as runs/first"):
        find_files(["runs"])


def test_a_path_that_is_not_a_folder_has_no_notice(tmp_path: Any) -> None:
    write("a.jsonl")
    assert folder_notices(["a.jsonl", "-", "*.jsonl", "s3://bucket/data"], ["a.jsonl"]) == []
