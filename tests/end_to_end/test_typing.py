"""What a user's type checker makes of the public names: `py.typed` and `mypy --strict`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio
from pathlib import Path
from typing import Any

import batchrun


def score(row: dict[str, Any]) -> bool:
    return bool(row["response"] == row["label"])


answers: batchrun.Answers = batchrun.answer(
    [{"text": "a"}], "Label this: {{ text }}", model=["a", "b"], schema={"type": "object"}, out=Path("runs/a"),
    temperature=0, patience="2h", keep="text", stop=["x"], reasoning_effort="low", simulate=True, scorer=score,
    evaluate={"target": "label"}, limits=batchrun.Limits(patience="2h"), agree=True, progress=False,
)
asyncio.run(batchrun.aanswer("rows.csv", out="runs/b"))
rows: list[dict[str, Any]] = list(answers.failed)
count: int = len(answers)
cost: float | None = answers.summary.cost_usd
paths: list[Path] = batchrun.open_run("runs/a").export("csv", wide=True)
job = batchrun.Job(
    input=batchrun.Input(path=[Path("a.csv"), "b.csv"]),
    prompt=batchrun.PromptTemplates(messages=[{"role": "user", "content": "{{ text }}"}], examples=[{"text": "a"}]),
    model=batchrun.Model(name="m", stop=["x"], tools=[{"type": "function"}], extra_body={"top_k": 5}),
    evaluate=batchrun.Evaluate(target="label", scorers=["number"]),
    judge=batchrun.Judge(
        model="j", labels={"good": 1, "bad": 0}, template="{{ answer }}", endpoint=batchrun.Endpoint(base_url="http://a")
    ),
    notify=batchrun.Notify(url_env=["MAIL", "SLACK"], after_pause="5m"),
    limits=batchrun.Limits(patience="12h", max_duration=90),
    output=batchrun.Output(dir=Path("runs/a"), keep=["text"]),
    response=batchrun.Response(schema=Path),
)
seconds: float | None = job.limits.patience_s
names: tuple[str, ...] = job.model.names
text: str = job.to_toml("jobs")
options = batchrun.Options(scorer=score, agree=lambda question: True, progress=True)
summary: batchrun.Summary = batchrun.run(job, options)
"""

WRONG = {
    'batchrun.answer("rows.csv", out="runs/a", temprature=0)': '"temprature"',
    'batchrun.answer("rows.csv", out="runs/a", temperature="hot")': "[arg-type]",
    'batchrun.answer("rows.csv")': 'Missing named argument "out"',
    'batchrun.Limits(patiense="2h")': '"patiense"',
    "batchrun.Input(path=5)": "[arg-type]",
    "batchrun.Options(scorer=5)": "[arg-type]",
}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_users_program_is_checked_against_the_public_names(tmp_path: Path) -> None:
    """What is right passes; each mistake is found, in its line."""
    program = PROGRAM + "\n".join(WRONG) + "\n"
    (tmp_path / "program.py").write_text(program)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "pyproject.toml",
        str(tmp_path / "program.py"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    first = PROGRAM.count("\n") + 1
    assert [int(line.split(":")[1]) for line in errors] == [first + number for number in range(len(WRONG))], errors
    for error, words in zip(errors, WRONG.values(), strict=True):
        assert words in error
