"""The flags of `run` and `check` that do more than set one value."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_rows

from batchrun.cli.program import run

SCHEMA = {"type": "object", "required": ["label"], "properties": {"label": {"enum": ["yes"]}}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    write_rows("in.jsonl", {"prompt": "a", "answer": "yes"}, {"prompt": "b", "answer": "no"})


@pytest.mark.parametrize("job", ["in.jsonl", "jobs/job.toml"])
def test_a_schema_and_a_scorer_are_given_as_flags(job: str) -> None:
    """The file is relative to the current directory, also next to a job file."""
    Path("schema.json").write_text(json.dumps(SCHEMA))
    Path("jobs").mkdir()
    Path("jobs/job.toml").write_text('[input]\npath = "../in.jsonl"\n')
    flags = ["--schema", "schema.json", "--target", "answer", "--scorer", "json_field", "--field", "label"]
    assert run(["check", job, "-m", "m", *flags, "-o", "out"]) == 0
    assert run(["run", job, "-m", "m", *flags, "-o", "out", "--simulate", "--quiet"]) == 0
    assert [(row["label"], row["score"]) for row in results()] == [("yes", 1.0), ("yes", 0.0)]


def test_a_function_is_a_scorer_as_before() -> None:
    """And `check` tells whether it can be imported."""
    Path("mine_for_flags.py").write_text("def score(row):\n    return len(row['prompt'])\n")
    flags = ["in.jsonl", "-m", "m", "--scorer", "mine_for_flags:score", "-o", "out"]
    assert run(["check", *flags]) == 0
    assert run(["run", *flags, "--simulate", "--quiet"]) == 0
    assert [row["score"] for row in results()] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--scorer", "exakt"], "--scorer exakt: must be one of exact, contains, number, regex, json_field, or"),
        (["--scorer", "exakt"], "did you mean exact?"),
        (["--scorer", "exact"], "--scorer exact: has nothing to compare answers with; add --target COLUMN"),
        (["--field", "label"], "--field label: has nothing to compare answers with; add --target COLUMN"),
        (["--scorer", "regex", "--target", "answer"], "--pattern: the scorer regex needs it"),
        (["--scorer", "no_such:score"], "--scorer no_such:score: no_such cannot be imported"),
        (["--target", "anser"], "did you mean answer?"),
        (["--schema", "none.json"], '--schema = "none.json"; none.json cannot be read: No such file or directory'),
        (["--schema", "in.jsonl"], "--schema"),
        (["--param", "top_k"], "--param top_k: must be KEY=VALUE, such as top_k=20"),
        (["--param", "=1"], "--param =1: must be KEY=VALUE"),
        (["--param", "a=1", "--param", "a=2"], "--param a: is given twice"),
        (["--param", "temprature=1"], "--param temprature is unknown; did you mean temperature?"),
        (["--param", "temperature=9"], "--param temperature = 9; must be at most 2"),
        (["--param", "n=3"], "--param n cannot be set: use --num-samples"),
        (["--param", "model=x"], "--param model cannot be set: use -m"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_flag_that_cannot_be_used_is_refused_with_the_cure(
    command: str, flags: list[str], message: str, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert run([command, "in.jsonl", "-m", "m", *flags, "-o", "out", "--simulate"]) == 2
    assert message in capsys.readouterr().err
