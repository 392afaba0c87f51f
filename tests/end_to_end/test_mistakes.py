"""Mistakes of users: one message with a cure, the right exit code, no traceback, nothing sent."""

from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts, write_rows

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def job_file(content: str) -> str:
    write_prompts("a")
    Path("job.toml").write_text(content)
    return "job.toml"


@pytest.fixture(autouse=True)
def nothing_was_sent(endpoint: Any) -> Any:
    """Check after every test here that the endpoint received nothing."""
    yield
    assert endpoint.stats.received == 0


def assert_refused(done: Any, code: int, *parts: str) -> None:
    assert done.code == code, done
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("batchrun: ") + done.stderr.count("Error: ") == 1


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere.jsonl"], ["nowhere.jsonl: no such file"]),
        (["inn.jsonl"], ["inn.jsonl: no such file", "in.jsonl"]),
        (["nowhere.toml"], ["nowhere.toml: cannot be read"]),
        (["in.md"], ["in.md", "known are .jsonl"]),
        (["empty.jsonl"], ["empty.jsonl: holds no rows"]),
        (["in.jsonl", "-t", "{{ promt }}"], ["has no column promt, which -t names", "prompt"]),
        (["in.jsonl", "-t", "{{ prompt "], ["batchrun: -t"]),
        (["in.jsonl", "--id", "nr"], ["has no column nr, which --id names"]),
        (["other.jsonl"], ["has no messages and no prompt", "text", "-t '{{ text }}'"]),
        (["broken.jsonl"], ["broken.jsonl:1", "can be used"]),
        (["half.jsonl", "--strict"], ["half.jsonl:2", "--strict allows none"]),
        (["in.jsonl", "--temperature", "3"], ["--temperature = 3", "at most 2"]),
        (["in.jsonl", "--temperature", "hot"], ["--temperature", "hot"]),
        (["in.jsonl", "--limit", "0"], ["--limit = 0", "at least 1"]),
        (["in.jsonl", "--max-duration", "soon"], ['--max-duration = "soon"', "such as 8h"]),
        (["in.jsonl", "--stop-at", "25:00"], ['--stop-at = "25:00"', "such as 07:30"]),
        (["in.jsonl", "--temprature", "1"], ["--temprature", "--temperature"]),
        (["in.jsonl", "--keep", ""], ["--keep", "non-empty string"]),
        ([], ["JOB_OR_FILE"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_flag_or_input_exits_2(run: Any, arguments: list[str], parts: list[str]) -> None:
    """The message has the problem and the cure."""
    write_prompts("a")
    write_rows("other.jsonl", {"text": "a"})
    Path("in.md").write_text("a")
    Path("empty.jsonl").touch()
    Path("broken.jsonl").write_text("x\ny\n")
    Path("half.jsonl").write_text('{"prompt": "a"}\n{\n')
    assert_refused(run(*arguments), 2, *parts)
    assert not Path("out/results.parquet").exists()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("[input", ["job.toml: is not TOML"]),
        ("[input]\npath='in.jsonl'\n[limits]\nmax_concurency=3", ["limits.max_concurency", "max_concurrency?"]),
        ("[input]\npath='gone.jsonl'\n[model]\nname='m'", ["gone.jsonl: no such file"]),
        ("[input]\npath='in.jsonl'\n[model]\ntemprature=0", ["job.toml: model.temprature", "temperature?"]),
        ("[input]\npath='in.jsonl'\n[model.extra_body]\nn=2", ["n cannot be set"]),
    ],
)  # fmt: skip
def test_a_wrong_job_file_exits_2(run: Any, content: str, parts: list[str]) -> None:
    """The message has the file, the key and the cure."""
    assert_refused(run(job_file(content)), 2, *parts)


def test_a_missing_column_in_keep_exits_2(batchrun: Any) -> None:
    """Before any request is sent, as for every other missing column."""
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "--simulate", "-o", "out", "--keep", "nr")
    assert_refused(done, 2, "--keep", "nr")


def test_two_job_files_exit_2(run: Any) -> None:
    """A run has one job."""
    assert_refused(run(job_file(""), "other.toml"), 2, "there is one at a time; leave out", "other.toml")


def test_a_job_file_and_an_input_exit_2_in_whatever_order(run: Any) -> None:
    """A job file is not judged as a broken input."""
    prompts, job = write_prompts("a"), job_file("")
    for order in ((prompts, job), (job, prompts)):
        assert_refused(run(*order), 2, f"a job file names its input, and there is one at a time; leave out {prompts}")


@pytest.mark.parametrize("project", ["inference", "proj_abc", "a/b/c", "a/"])
def test_a_project_without_its_team_exits_2(batchrun: Any, monkeypatch: pytest.MonkeyPatch, project: str) -> None:
    """From the flag and from a job file. The message says how it is written, and which variables may stand for it."""
    monkeypatch.setenv("WANDB_API_KEY", "key")
    cure = "must be TEAM/PROJECT, such as my-team/my-project; or leave it out and set WANDB_ENTITY and WANDB_PROJECT"
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "--project", project, "-o", "out")
    assert_refused(done, 2, f'--project = "{project}"; {cure}')
    job = f"[input]\npath='in.jsonl'\n[model]\nname='m'\n[endpoint]\nproject='{project}'"
    assert_refused(batchrun("run", job_file(job)), 2, f'job.toml: endpoint.project = "{project}"; {cure}')
    assert batchrun("models", "--project", project).code == 2


def test_a_prompt_without_a_model_exits_2(run: Any) -> None:
    """The message has the flag."""
    assert_refused(run(write_prompts("a"), model=None), 2, "-m MODEL")


@pytest.mark.parametrize("command", [["run", "in.jsonl", "-m", "m"], ["models"]])
def test_no_key_exits_4(batchrun: Any, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """The message lists the places that were searched."""
    write_prompts("a")
    done = batchrun(*command)
    assert_refused(done, 4, "https://api.inference.wandb.ai/v1", "WANDB_API_KEY", "~/.netrc")
    assert not Path("runs").exists()


def test_http_to_another_host_exits_2(batchrun: Any) -> None:
    """This is checked before the key is looked up."""
    done = batchrun("run", write_prompts("a"), "-m", "m", "--base-url", "http://10.9.8.7/v1")
    assert_refused(done, 2, "--base-url", "must be https", "--allow-http")


def test_an_output_that_is_a_file_exits_3(run: Any) -> None:
    """The file does not change."""
    Path("out").write_text("mine")
    assert_refused(run(write_prompts("a")), 3, "out", "use another -o DIR")
    assert Path("out").read_text() == "mine"


def test_a_foreign_checkpoint_exits_3(run: Any) -> None:
    """The file does not change."""
    Path("out").mkdir()
    Path("out/checkpoint.sqlite").write_bytes(b"mine" * 1000)
    assert_refused(run(write_prompts("a")), 3, "out/checkpoint.sqlite", "Use another -o DIR")
    assert Path("out/checkpoint.sqlite").read_bytes() == b"mine" * 1000


@pytest.mark.parametrize("command", ["status", "export"])
def test_a_directory_without_a_run_exits_3(batchrun: Any, command: str) -> None:
    """Nothing is created in it."""
    Path("empty").mkdir()
    assert_refused(batchrun(command, "empty"), 3, "empty: holds no run", "give the directory of a run")
    assert_refused(batchrun(command, "nowhere"), 3, "nowhere: holds no run")
    assert list(Path("empty").iterdir()) == []


def test_an_unknown_command_exits_2(batchrun: Any) -> None:
    """The message refers to the help with all commands."""
    assert_refused(batchrun("rnu"), 2, "rnu", "--help")


@pytest.mark.parametrize(
    ("path", "message"), [("nowhere.jsonl", "nowhere.jsonl: no such file"), ("in.ods", "in.ods: unknown ending")]
)
def test_a_wrong_file_is_reported_before_a_missing_key(
    batchrun: Any, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    """The key may be missing too, but the path is what was typed."""
    monkeypatch.delenv("OPENAI_API_KEY")
    Path("in.ods").write_bytes(b"PK\x03\x04[Content_Types].xml")
    done = batchrun("run", path, "-m", "m", "-o", "out")
    assert (done.code, message in done.stderr, "no key" in done.stderr) == (2, True, False)
