"""A scorer of which no score means anything is an error, and one that is misspelt is refused before it costs."""

import sys
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_rows
from harness.settled import settle

ROWS = [{"prompt": "1 + 1?", "answer": 2}, {"prompt": "1 + 2?", "answer": 3}, {"prompt": "1 + 3?", "answer": None}]


def write_scorer(body: str) -> None:
    """Write a module `mine` with a function `score`."""
    Path("mine.py").write_text(f"def score(row):\n    {body}\n")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each test import its own module `mine`."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


NO_USE = [
    ('scorer = "json_field"\nfield = "lable"', '{"label": 2}', 2),
    ('scorer = "regex"\npattern = "A: (.*)"', "B: 2", 2),
    ('scorer = "number"', "two", 0),
    ('scorer = "json_field"\nfield = "label"', '{"label": 9}', 0),
]


@pytest.mark.parametrize(("how", "answer", "code"), NO_USE)
def test_a_field_or_pattern_that_no_answer_has_is_an_error(batchrun: Any, how: str, answer: str, code: int) -> None:
    """The results are written anyway; wrong answers are not an error."""
    settle(ROWS, lambda asked: answer, f'[evaluate]\ntarget = "answer"\n{how}\n')
    done = batchrun("export", "out")
    assert done.code == code
    assert done.stderr.count("none of") <= 1
    assert [row["score"] for row in results()] == [0.0, 0.0, None]


def test_a_run_whose_scorer_is_of_no_use_ends_with_an_error_and_keeps_its_answers(run: Any, endpoint: Any) -> None:
    """run.json says so too. The fixed job scores the same answers, and nothing is sent."""
    write_rows("in.jsonl", {"prompt": "a", "answer": 2}, {"prompt": "b", "answer": 2})
    job = '[input]\npath = "in.jsonl"\n[evaluate]\ntarget = "answer"\nscorer = "{}"\n'
    Path("job.toml").write_text(job.format('regex"\npattern = "A: (.*)'))
    done = run("job.toml", "--json")
    assert (done.code, done.json["exit_code"], done.json["completed"]) == (2, 2, 2)
    assert "none of 2 answers has what evaluate.pattern = 'A: (.*)' finds" in done.json["message"]
    assert "the answers stay, nothing is sent" in done.stderr
    assert run("job.toml").code == 2
    Path("job.toml").write_text(job.format("exact"))
    assert run("job.toml").code == 0
    assert endpoint.stats.received == 2


def test_a_function_that_raises_for_every_row_is_an_error(batchrun: Any, run: Any) -> None:
    """One that raises for some rows is not."""
    write_rows("in.jsonl", {"prompt": "a", "n": 0}, {"prompt": "b", "n": 0})
    write_scorer("return 1 / row['n']")
    done = run("in.jsonl", "--scorer", "mine:score")
    assert done.code == 2
    assert "rows without a score: 2, because mine:score raised ZeroDivisionError: division by zero" in done.stderr
    assert batchrun("export", "out", "--scorer", "mine:score").code == 2


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_field_that_the_schema_does_not_have_is_refused_before_anything_is_sent(
    batchrun: Any, endpoint: Any, command: str
) -> None:
    """The message has the nearest property. A schema that allows more properties allows the field."""
    write_rows("in.jsonl", {"prompt": "a", "answer": "x"})
    schema = "[response.schema]\ntype = 'object'\nproperties.label = {{ type = 'string' }}\n{}\n"
    evaluate = "[evaluate]\ntarget = 'answer'\nscorer = 'json_field'\nfield = '{}'\n"
    head = f'[input]\npath = "in.jsonl"\n[model]\nname = "m"\n[endpoint]\nbase_url = "{endpoint.base_url}"\n'
    Path("job.toml").write_text(head + schema.format("") + evaluate.format("lable"))
    done = batchrun(command, "job.toml")
    assert (done.code, done.stdout) == (2, "")
    assert 'evaluate.field = "lable"; the schema has the properties label; did you mean label?' in done.stderr
    assert endpoint.stats.received == 0
    for more, field in (("additionalProperties = true", "lable"), ("", "label"), ("", "label.first")):
        Path("job.toml").write_text(head + schema.format(more) + evaluate.format(field))
        assert "evaluate.field" not in batchrun("check", "job.toml").stderr
