"""`batchrun init` writes a job file that can be checked and run as it is."""

import gzip
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import results, write_rows

from batchrun.cli.program import run
from batchrun.job.file import load_job

MESSAGES = [{"role": "user", "content": "a"}]
BATCH = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "m", "messages": MESSAGES},
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


def write_csv(path: str) -> None:
    Path(path).write_text("id,question\n1,What?\n2,Who?\n")


def write_parquet(path: str) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "photo": [b"\x89PNG", None], "n": [[1], None]}), path)


@pytest.mark.parametrize(
    ("path", "write", "template"),
    [
        ("a.csv", write_csv, "{{ question }}"),
        ("a.parquet", write_parquet, "{{ text }}"),
        ("a.jsonl", lambda path: write_rows(path, {"id": "x\x1b", "my text": "a"}), '{{ row["my text"] }}'),
        ("a.jsonl", lambda path: write_rows(path, {"prompt": "a"}), None),
        ("a.jsonl", lambda path: write_rows(path, {"messages": MESSAGES}), None),
        ("a.jsonl", lambda path: write_rows(path, BATCH), None),
        ("a.txt", lambda path: Path(path).write_text("What?\nWho?\n"), None),
        ("a.json", lambda path: Path(path).write_text('[{"title": "a", "n": 1}, {"title": "b"}]'), "{{ title }}"),
        ("a.tsv", lambda path: Path(path).write_text("Review Text\tStars\ngood\t5\n"), '{{ row["Review Text"] }}'),
        ("a.jsonl.gz", lambda path: Path(path).write_bytes(gzip.compress(b'{"q": "a"}\n')), "{{ q }}"),
        ("a.jsonl", lambda path: write_rows(path, {"n": 1, "x": None}, {"n": 2, "x": [1]}), "{{ n }}"),
        ("it's \U0001f600.jsonl", lambda path: write_rows(path, {"text": "a"}), "{{ text }}"),
    ],
)  # fmt: skip
def test_the_job_file_loads_checks_and_runs_unchanged(path: str, write: Any, template: str | None) -> None:
    """Whatever form the rows have. Its own commands are those that the opening comment names."""
    Path("data").mkdir()
    write(f"data/{path}")
    assert run(["init", f"data/{path}", "-o", "jobs/mine.toml"]) == 0
    assert load_job("jobs/mine.toml").prompt.user == template
    text = Path("jobs/mine.toml").read_text()
    commands = [shlex.split(line[1:]) for line in text.splitlines() if line.startswith("#   batchrun ")]
    assert [command[1] for command in commands] == ["check", "run"]
    for _, *arguments in commands:
        assert run(arguments) == 0
    assert {row["status"] for row in results("runs/mine_tried")} == {"completed"}


def test_a_run_gets_a_job_that_reads_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a run directory of its own, though the job file is named like the first run."""
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    write_rows("in.jsonl", {"prompt": "a"}, {"prompt": 1})
    assert run(["run", "in.jsonl", "-m", "m", "--simulate", "--quiet"]) == 1
    assert run(["init", "runs/in"]) == 0
    job = load_job("in.toml")
    assert (job.input.run, job.prompt.user, job.output.dir) == ("runs/in", "{{ first.response }}", "runs/in_next")
    assert "#   first.response           " in Path("in.toml").read_text()
    assert run(["check", "in.toml"]) == 0


def test_the_columns_are_listed_with_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a template can be written without opening the file."""
    write_rows("reviews.jsonl", {"id": "r1", "stars": 5, "text": "Good\x1b[31m" * 50, "gold": "x", "photo": "a.png"})
    assert run(["init", "reviews.jsonl"]) == 0
    text = Path("reviews.toml").read_text()
    assert "#   id     r1\n#   stars  5\n#   text   Good [31mGood" in text
    assert '# target = "gold"' in text
    assert '# images = "photo"' in text
    assert "\x1b" not in text
    assert capsys.readouterr().err == (
        "reviews.toml: written; edit it, then see what it costs: batchrun check reviews.toml\n"
    )


def test_every_setting_in_the_comments_is_accepted() -> None:
    """Each line can be used by taking its mark away."""
    write_rows("a.jsonl", {"id": "r1", "text": "a", "answer": "b", "image": "c"})
    assert run(["init", "a.jsonl"]) == 0
    lines = Path("a.toml").read_text().splitlines()
    marked = [line for line in lines if line.startswith("# ") and (" = " in line or line.startswith("# ["))]
    assert len(marked) >= 12
    Path("all.toml").write_text("\n".join(line[2:] if line in marked else line for line in lines))
    job = load_job("all.toml")
    assert (job.evaluate.target, job.limits.max_cost_usd, job.prompt.images) == ("answer", 5, "image")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jsonl"], "a.toml: exists and stays as it is; name another file: -o a_2.toml"),
        (["a.jsonl", "-o", "b.json"], "a job file ends in .toml: -o b.toml"),
        (["-"], "standard input can be read only once; name a file"),
        (["b.jsonl"], "b.jsonl: no such file; did you mean a.jsonl?"),
        (["empty.jsonl"], "empty.jsonl: holds no rows"),
    ],
)
def test_what_cannot_be_written_or_read_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file is replaced."""
    write_rows("a.jsonl", {"text": "a"})
    Path("empty.jsonl").touch()
    Path("a.toml").write_text("mine")
    assert run(["init", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert Path("a.toml").read_text() == "mine"
    assert sorted(path.name for path in Path().glob("*.toml")) == ["a.toml"]
