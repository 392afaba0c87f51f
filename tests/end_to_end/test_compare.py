"""`batchrun compare`."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness.settled import HEAD, settle

NUMBER = '[evaluate]\ntarget = "answer"\nscorer = "number"\n'
ROWS = [{"prompt": str(each), "answer": each} for each in range(20)]
TWO = HEAD.replace('["m"]', '["m", "n"]')


@pytest.fixture
def two_models() -> None:
    """A run in which model m answers every prompt right, and model n only the first five."""
    settle(ROWS, lambda asked: str(asked.row if asked.model == "m" or asked.row < 5 else 99), NUMBER, head=TWO)


@pytest.mark.usefixtures("two_models")
def test_two_models_of_a_run_are_compared(batchrun: Any) -> None:
    """The table begins with the rows where the second one lost most; JSON has the same."""
    done = batchrun("compare", "out", "-n", "2")
    assert done.code == 0
    wins = "B wins 0, loses 15, ties 5"
    assert f"score     A 1, B 0.25; B − A = -0.75 (95 %: -0.9137 to -0.45); {wins}" in done.stdout
    assert "prompts   20 in both\n" in done.stdout
    assert "changed   15 rows; the first 2, the largest losses of B first\nrow " in done.stdout
    assert done.stdout.splitlines()[-2].split() == ["5", "1", "0", "5", "99"]
    (entry,) = batchrun("compare", "out", "--json").json["comparisons"]
    assert (entry["a"], entry["b"]) == ({"run": "out", "model": "m"}, {"run": "out", "model": "n"})
    (score,) = entry["scores"]
    assert (score["means"], score["difference"], score["losses"]) == ([1, 0.25], -0.75, 15)
    assert [each["a"]["row"] for each in entry["rows"]] == list(range(5, 15))


@pytest.mark.usefixtures("two_models")
def test_two_runs_are_compared_for_each_model_that_both_have(batchrun: Any) -> None:
    """All changed rows of one model can be written to a file."""
    Path("out").rename("before")
    settle(ROWS, lambda asked: str(asked.row), NUMBER, head=TWO)
    done = batchrun("compare", "before", "out")
    assert [line for line in done.stdout.splitlines() if line.startswith("changed")] == [
        "changed   no row",
        "changed   15 rows; the first 10",
    ]
    assert batchrun("compare", "before", "out", "--rows", "changed.jsonl").code == 2
    assert batchrun("compare", "before", "out", "-m", "n", "--rows", "changed.jsonl").code == 0
    lines = [json.loads(line) for line in Path("changed.jsonl").read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == [str(row) for row in range(5, 20)]
    assert (lines[0]["a"]["response"], lines[0]["b"]["scores"]) == ("99", [1.0])


@pytest.mark.usefixtures("two_models")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out", "-m", "m"], "out: compare takes two models, and the run has m, n; name two with -m NAME -m NAME"),
        (["out", "-m", "m", "-m", "o"], "out: has no answers of o; it has m, n"),
        (["out", "out", "out"], "compare takes one run or two"),
        (["out", "nothing"], "nothing"),
        (["out", "--by", "promt"], "no column promt; did you mean prompt?"),
    ],
)
def test_what_cannot_be_compared_is_named(batchrun: Any, arguments: list[str], message: str) -> None:
    """Exit code 2 for the command, 3 for a directory without a run."""
    done = batchrun("compare", *arguments)
    assert done.code == (3 if "nothing" in arguments else 2)
    assert message in done.stderr
