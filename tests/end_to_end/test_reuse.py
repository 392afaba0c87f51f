"""Answers of other runs are taken for the same requests, and only for these: the books of the server show it."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.finished import Finished
from harness.prompts import results, write_prompts, write_rows

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
OTHER = "openai/gpt-oss-20b"

Go = Callable[..., Finished]


@pytest.fixture
def go(batchrun: Any, endpoint: Any) -> Go:
    """Run prompts into a directory."""

    def go(directory: str, *prompts: str, reuse: tuple[str, ...] = (), flags: tuple[Any, ...] = ()) -> Finished:
        file, rows = f"{directory}.jsonl", [{"prompt": prompt} for prompt in prompts]
        if not Path(file).exists() or [*map(json.loads, Path(file).read_text().splitlines())] != rows:
            write_rows(file, *rows)
        others = [part for name in reuse for part in ("--reuse", name)]
        models = () if "-m" in flags else ("-m", MODEL)
        url = () if "--simulate" in flags else ("--base-url", endpoint.base_url)
        return batchrun("run", file, *models, *url, "-o", directory, *others, *flags, "--json")

    return go


def bought(endpoint: Any, call: Callable[[], Finished]) -> tuple[Finished, int]:
    """Return what a command did, and how many answers the server has made for it."""
    before = endpoint.stats.answered
    done = call()
    return done, endpoint.stats.answered - before


def responses(directory: str) -> dict[str, str]:
    return {row["prompt"]: row["response"] for row in results(directory)}


def test_a_job_that_reuses_two_runs_buys_only_what_is_new(go: Go, endpoint: Any) -> None:
    """Whatever the order of the rows and their labels; the answers are the same, without attempts, tokens and cost."""
    go("one", "a", "b", "c")
    go("two", "d", "b")
    done, count = bought(endpoint, lambda: go("out", "d", "new", "b", "a", reuse=("one", "two")))
    assert (done.code, done.json["completed"], done.json["attempts"], count) == (0, 4, 1, 1)
    assert "2 answers reused from one, at no cost" in done.stderr
    assert "1 answer reused from two, at no cost" in done.stderr
    assert "1 request, " in done.stderr  # the estimate is of what is left
    assert "0 out" not in done.stderr.partition("1 request, ")[2].splitlines()[0]
    assert done.json["reused"] == [{"run": "one", "rows": 2}, {"run": "two", "rows": 1}]
    assert "reused    2 answers of one, at no cost" in done.stderr
    earlier = responses("two") | responses("one")
    assert {prompt: text for prompt, text in responses("out").items() if prompt != "new"} == {
        prompt: earlier[prompt] for prompt in "dba"
    }
    rows = {row["prompt"]: row for row in results("out")}
    assert [rows[prompt]["attempts"] for prompt in ("d", "new", "b", "a")] == [0, 1, 0, 0]
    assert [rows[prompt]["total_tokens"] for prompt in "dba"] == [0, 0, 0]
    assert [rows[prompt]["reused_from"] for prompt in ("d", "new", "b", "a")] == ["two", None, "one", "one"]
    assert rows["a"]["custom_id"] == "3"
    assert len(pq.read_table("out/usage.parquet")) == 1
    assert done.json["total_tokens"] == rows["new"]["total_tokens"]


def test_it_is_off_unless_it_is_asked_for(go: Go, endpoint: Any) -> None:
    go("one", "a")
    assert bought(endpoint, lambda: go("out", "a"))[1] == 1


def test_another_prompt_parameter_or_model_is_bought(go: Go, endpoint: Any) -> None:
    """All that is sent must be the same."""
    go("one", "a", "b")
    for number, (prompt, flags) in enumerate(
        [("a!", ()), ("a", ("--temperature", 0.5)), ("a", ("-s", "Be short.")), ("a", ("-m", OTHER))]
    ):
        done, count = bought(endpoint, lambda: go(f"out{number}", prompt, reuse=("one",), flags=flags))  # noqa: B023
        assert (done.code, count) == (0, 1), flags
        assert "0 answers reused from one" in done.stderr


def test_answers_of_another_endpoint_are_not_taken(go: Go, endpoint: Any, batchrun: Any) -> None:
    """The base URL identifies where an answer comes from; the name of the host is a part of it."""
    go("one", "a")
    elsewhere = endpoint.base_url.replace("127.0.0.1", "localhost")
    flags = ("-m", MODEL, "--base-url", elsewhere, "-o", "out", "--reuse", "one")
    done, count = bought(endpoint, lambda: batchrun("run", "one.jsonl", *flags))
    assert (done.code, count) == (0, 1)
    assert "0 answers reused from one" in done.stderr


def test_failed_rows_are_not_taken(go: Go, endpoint: Any) -> None:
    """They are sent; a failure of the endpoint may have passed meanwhile."""
    go("one", "[[simulate: 400 x1]]", "b")
    assert results("one")[0]["error_kind"] == "bad_request"
    done, count = bought(endpoint, lambda: go("out", "[[simulate: 400 x1]]", "b", reuse=("one",)))
    assert (done.code, done.json["completed"], done.json["attempts"]) == (0, 2, 1)
    assert count == 1


def test_an_answer_is_used_once_unless_rows_share_answers(go: Go, endpoint: Any) -> None:
    """Rows that ask the same are other draws. With --dedupe all of them get the answer."""
    go("one", "a", "a")
    assert len({row["response_id"] for row in results("one")}) == 2
    done, count = bought(endpoint, lambda: go("out", "a", "b", "a", "a", reuse=("one",)))
    assert (done.json["completed"], count) == (4, 2)
    ids = [row["response_id"] for row in results("out") if row["prompt"] == "a"]
    assert len({*ids}) == 3
    assert {*ids[:2]} == {row["response_id"] for row in results("one")}
    done, count = bought(endpoint, lambda: go("shared", "a", "b", "a", "a", reuse=("one",), flags=("--dedupe",)))
    assert (done.json["completed"], done.json["copies"], count) == (4, 0, 1)
    assert len({row["response_id"] for row in results("shared") if row["prompt"] == "a"}) == 1


def test_samples_are_taken_sample_by_sample(go: Go, endpoint: Any) -> None:
    """A run with fewer samples gives those that it has."""
    go("one", "a", flags=("--num-samples", 2))
    done, count = bought(endpoint, lambda: go("out", "a", reuse=("one",), flags=("--num-samples", 3)))
    assert (done.json["completed"], count) == (3, 1)
    assert [row["attempts"] for row in results("out")] == [0, 0, 1]
    assert [row["response_id"] for row in results("out")][:2] == [row["response_id"] for row in results("one")]


def test_a_resumed_run_looks_again_only_where_something_is_new(go: Go, endpoint: Any) -> None:
    """Its own answers stay; more rows of its input, and more answers of the other run, are looked for."""
    go("one", "a", "b")
    go("out", "a", "b", "c", "d", reuse=("one",), flags=("--limit", 1))
    done, count = bought(endpoint, lambda: go("out", "a", "b", "c", "d", reuse=("one",), flags=("--limit", 1)))
    assert (done.json["completed"], count) == (1, 0)
    assert "reading the whole input" not in done.stderr
    go("one", "a", "b", "c")
    done, count = bought(endpoint, lambda: go("out", "a", "b", "c", "d", reuse=("one",)))
    assert (done.json["completed"], count) == (4, 1)
    assert "2 answers reused from one" in done.stderr


def test_an_answer_that_was_taken_before_is_not_taken_for_another_row(go: Go, endpoint: Any) -> None:
    """Also in a later execution: a new row that asks the same is another draw."""
    go("one", "a", "a")
    go("out", "a", reuse=("one",))
    done, count = bought(endpoint, lambda: go("out", "a", "a", "a", reuse=("one",)))
    assert (done.json["completed"], count) == (3, 1)
    assert len({row["response_id"] for row in results("out")}) == 3


def test_an_edit_retires_what_was_taken_and_its_undo_brings_it_back(go: Go, endpoint: Any) -> None:
    """As with answers that were bought; nothing counts as a copy."""
    go("one", "a", "b")
    go("out", "a", "b", reuse=("one",))
    done, count = bought(endpoint, lambda: go("out", "x", "b", reuse=("one",), flags=("--yes",)))
    assert (done.json["completed"], done.json["copies"], count) == (2, 0, 1)
    done, count = bought(endpoint, lambda: go("out", "a", "b", flags=("--yes",)))
    assert (done.json["completed"], done.json["copies"], count) == (2, 0, 0)
    assert [row["attempts"] for row in results("out")] == [0, 0]


def test_restart_takes_the_answers_of_other_runs_again(go: Go, endpoint: Any) -> None:
    """The run starts over; what others have is not bought."""
    go("one", "a")
    go("out", "a", "b", reuse=("one",))
    done, count = bought(endpoint, lambda: go("out", "a", "b", reuse=("one",), flags=("--restart",)))
    assert (done.json["completed"], count) == (2, 1)
    assert "1 answer reused from one" in done.stderr


def test_rows_that_failed_here_are_looked_for_before_they_are_sent_again(go: Go, endpoint: Any) -> None:
    """With --retry-failed, another run may have had their answer by then."""
    prompt = "[[simulate: 400 x1]]"
    go("out", prompt, "b")
    go("one", prompt)
    assert results("one")[0]["status"] == "completed"  # the fault was for the first request only
    done, count = bought(endpoint, lambda: go("out", prompt, "b", reuse=("one",), flags=("--retry-failed",)))
    assert (done.code, done.json["completed"], count) == (0, 2, 0)


def test_answers_must_fit_the_schema_of_the_job(go: Go, endpoint: Any) -> None:
    """The same request may have been sent without one, as a parameter of the body."""
    schema = {"type": "object", "properties": {"label": {"enum": ["x"]}}, "required": ["label"]}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    write_rows("schema.json", schema)
    go("first", "a", "b", flags=("--schema", "schema.json"))
    done, count = bought(endpoint, lambda: go("out", "a", reuse=("first",), flags=("--schema", "schema.json")))
    assert (done.json["completed"], count) == (1, 0)
    path = Path("first/checkpoint.sqlite")
    answer = b'{"choices": [{"message": {"content": "no JSON"}, "finish_reason": "stop"}]}'
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE outcomes SET body = ?, checksum = NULL WHERE id >> 24 = 0", (answer,))
    done, count = bought(endpoint, lambda: go("again", "a", "b", reuse=("first",), flags=("--schema", "schema.json")))
    assert (done.json["completed"], count) == (2, 1), form


def test_simulated_answers_are_taken_by_simulated_runs_only(go: Go, endpoint: Any) -> None:
    """Nothing that was made up becomes an answer. A run that has only taken real answers is a real one."""
    go("made-up", "a", flags=("--simulate",))
    go("real", "a")
    done, count = bought(endpoint, lambda: go("out", "a", reuse=("made-up",)))
    assert (done.code, count) == (2, 0)
    assert "--reuse: made-up holds simulated answers; simulated and real answers do not mix" in done.stderr
    assert not Path("out").exists()
    assert "real holds real answers" in go("out", "a", reuse=("real",), flags=("--simulate",)).stderr
    done = go("simulated", "a", reuse=("made-up",), flags=("--simulate",))
    assert (done.json["completed"], done.json["attempts"]) == (1, 0)
    go("out", "a", reuse=("real",))
    done = go("out", "a", "b", flags=("--simulate",))
    assert done.code == 2
    assert "out: holds real answers" in done.stderr


def damaged() -> None:
    Path("bad").mkdir()
    Path("bad/checkpoint.sqlite").write_bytes(b"not a database" * 1000)


def missing() -> None:
    """There is no such directory."""


def emptied() -> None:
    Path("bad").mkdir()
    Path("bad/checkpoint.sqlite").touch()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, "--reuse: bad: holds no run (no checkpoint.sqlite); give the directory of a run"),
        (damaged, "leave it out, or recover what is readable: batchrun export bad --salvage"),
        (emptied, "--reuse: bad/checkpoint.sqlite: is empty: its run died as it began"),
    ],
)
def test_a_run_that_cannot_be_used_is_named_before_anything_is_sent(
    go: Go, endpoint: Any, make: Callable[[], None], words: str
) -> None:
    """Exit code 2: it is a mistake in the job. Nothing is left behind."""
    make()
    go("one", "a")
    done, count = bought(endpoint, lambda: go("out", "a", "b", reuse=("one", "bad")))
    assert (done.code, count) == (2, 0)
    assert words in done.stderr
    assert not Path("out").exists()


def test_a_run_that_is_damaged_within_is_named_too(go: Go, endpoint: Any) -> None:
    """SQLite finds that only when it reads the page."""
    go("bad", *(f"{number} {'x' * 3000}" for number in range(100)))
    path = Path("bad/checkpoint.sqlite")
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 4 + 40_000] = b"\x5a" * 40_000
    path.write_bytes(content)
    done, count = bought(endpoint, lambda: go("out", "a", reuse=("bad",)))
    assert (done.code, count) == (2, 0)
    assert "--reuse: bad/checkpoint.sqlite: is damaged" in done.stderr
    assert "is not JSON" not in done.stderr
    assert not Path("out").exists()


def test_a_run_does_not_reuse_itself(go: Go) -> None:
    go("out", "a")
    done = go("out", "a", reuse=("./out",))
    assert done.code == 2
    assert "--reuse: ./out is the run directory of this job" in done.stderr


def test_standard_input_is_looked_through_too(batchrun: Any, endpoint: Any, go: Go) -> None:
    """It can be read only once, so it is kept meanwhile."""
    go("one", "a", "b")
    flags = ("-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--reuse", "one", "--json")
    lines = b'{"prompt": "b"}\n{"prompt": "new"}\n'
    done, count = bought(endpoint, lambda: batchrun("run", "-", *flags, stdin=lines))
    assert (done.code, done.json["completed"], count) == (0, 2, 1)


def test_a_run_that_is_running_can_be_reused(spawn: Any, endpoint: Any, go: Go, tmp_path: Path) -> None:
    """What it has settled so far is taken; it is not disturbed."""
    endpoint.change(latency_s=0.2)
    prompts = [f"prompt {number}" for number in range(100)]
    write_prompts(*prompts, path="one.jsonl")
    flags = ("-m", MODEL, "--base-url", endpoint.base_url, "-o", "one", "-c", 1)
    other: subprocess.Popen[str] = spawn("run", "one.jsonl", *flags)
    endpoint.wait(lambda: endpoint.stats.answered >= 5)
    done = go("out", *prompts, reuse=("one",))
    endpoint.change(latency_s=0.0)
    assert (done.code, done.json["completed"]) == (0, 100)
    assert [each["rows"] for each in done.json["reused"]] == [100 - done.json["attempts"]]
    assert 0 < done.json["attempts"] < 100
    _, stderr = other.communicate(timeout=50)
    assert other.returncode == 0, stderr


def test_paths_in_a_job_file_are_relative_to_it(go: Go, batchrun: Any, endpoint: Any) -> None:
    """As those of the input are; a flag's is relative to the current directory, and replaces them."""
    go("runs/one", "a")
    Path("jobs").mkdir()
    write_prompts("a", path="jobs/in.jsonl")
    Path("jobs/job.toml").write_text(
        f'[input]\npath = "in.jsonl"\nreuse = ["../runs/one"]\n[model]\nname = "{MODEL}"\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\n[output]\ndir = "../out"\n'
    )
    done, count = bought(endpoint, lambda: batchrun("run", "jobs/job.toml"))
    assert (done.code, count) == (0, 0)
    done, count = bought(endpoint, lambda: batchrun("run", "jobs/job.toml", "--reuse", "runs/one", "-o", "other"))
    assert (done.code, count) == (0, 0)


def test_check_counts_what_run_will_take(go: Go, batchrun: Any, endpoint: Any) -> None:
    """Of a new directory, of one with answers, after an edit, and where rows share answers."""
    go("one", "a", "b")
    go("two", "c", "c")

    def checked(*prompts: str, flags: tuple[Any, ...] = ()) -> Any:
        write_prompts(*prompts, path="out.jsonl")
        url = ("--base-url", endpoint.base_url)
        others = ("--reuse", "one", "--reuse", "two")
        done = batchrun("check", "out.jsonl", "-m", MODEL, *url, "-o", "out", *others, "--json", *flags)
        return done.json["ahead"]["requests"], {each["run"]: each["rows"] for each in done.json["reused"]}

    def ran(*prompts: str, flags: tuple[Any, ...] = ()) -> Any:
        before = {each["run"]: each["rows"] for each in status().get("reused", [])}
        done, count = bought(endpoint, lambda: go("out", *prompts, reuse=("one", "two"), flags=(*flags, "--yes")))
        assert done.code == 0
        return count, {
            each["run"]: new for each in done.json["reused"] if (new := each["rows"] - before.get(each["run"], 0))
        }

    def status() -> Any:
        path = Path("out/run.json")
        return json.loads(path.read_text()) if path.exists() else {}

    prompts = ("a", "x", "c")
    assert checked(*prompts) == ran(*prompts) == (1, {"one": 1, "two": 1})
    assert checked(*prompts) == ran(*prompts) == (0, {})
    prompts = ("a", "x", "c", "c", "c", "b", "y")
    assert checked(*prompts) == ran(*prompts) == (2, {"one": 1, "two": 1})
    shutil.rmtree("out")
    prompts = ("c", "z", "c", "c", "z")
    assert checked(*prompts, flags=("--dedupe",)) == ran(*prompts, flags=("--dedupe",)) == (1, {"two": 3})


def test_check_shows_it(go: Go, batchrun: Any, endpoint: Any) -> None:
    """And refuses what run refuses."""
    go("one", "a", "b")
    write_prompts("a", "x", "b", path="out.jsonl")
    flags = ("out.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--reuse")
    done = batchrun("check", *flags, "one")
    assert "requests  1 to send\n          2 more are reused from one, at no cost" in done.stdout
    done = batchrun("check", *flags, "nowhere")
    assert (done.code, "--reuse: nowhere: holds no run" in done.stderr) == (2, True)


def test_a_run_is_named_once(go: Go) -> None:
    """Its answers would be used twice."""
    go("one", "a")
    done = go("out", "a", reuse=("one", "./one"))
    assert (done.code, "--reuse: one is named twice" in done.stderr) == (2, True)


def test_every_kind_of_request_is_reused_and_only_by_its_own_kind(go: Go, endpoint: Any) -> None:
    """A text to embed and one to answer may have the same body. A schema is checked whatever the kind."""
    schema = {"type": "object", "properties": {"label": {"enum": ["x"]}}, "required": ["label"]}
    write_rows("schema.json", schema)
    for kind, more in (("embeddings", ()), ("completions", ()), ("responses", ("--schema", "schema.json"))):
        flags = ("--kind", kind, *more)
        first = go(f"{kind}-1", "a", flags=flags)
        assert (first.code, first.json["completed"]) == (0, 1), first.stderr
        done, count = bought(endpoint, lambda: go(f"{kind}-2", "a", reuse=(f"{kind}-1",), flags=flags))  # noqa: B023
        assert (done.code, done.json["completed"], count) == (0, 1, 0), kind
    done, count = bought(endpoint, lambda: go("mixed", "a", reuse=("embeddings-1",), flags=("--kind", "responses")))
    assert (done.code, count) == (0, 1)


def model_job(endpoint: Any, names: dict[str, str], *, rows_name_it: bool = False) -> str:
    """Write a job whose names for models are these, each with the model's name at the endpoint."""
    models = ", ".join(f'"{name}"' for name in names)
    write_rows("schema.json", {"type": "object", "properties": {"label": {"enum": ["x"]}}, "required": ["label"]})
    there = ", ".join(f'"{name}" = "{name_there}"' for name, name_there in names.items())
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\n{"" if rows_name_it else f"names = [{models}]"}\nmax_tokens = 500\n'
        '[response]\nschema = "schema.json"\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\nmodels = {{ {there} }}\n',
        encoding="utf-8",
    )
    return "job.toml"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [({MODEL: MODEL}, {"mine": MODEL}), ({"mine": MODEL}, {MODEL: MODEL}), ({"a": MODEL}, {"b": MODEL})],
)
@pytest.mark.parametrize("rows_name_it", [False, True])
def test_answers_of_a_model_are_taken_whatever_jobs_call_it(
    batchrun: Any, endpoint: Any, theirs: dict[str, str], ours: dict[str, str], *, rows_name_it: bool
) -> None:
    """The endpoint's own name for it counts. `check` says what `run` does; a resume buys nothing."""
    for names, directory in ((theirs, "one"), (ours, "out")):
        [name] = names
        asked = [{"messages": [{"role": "user", "content": text}]} for text in "aab"]
        lines = [{"custom_id": str(number), "body": {"model": name} | each} for number, each in enumerate(asked)]
        write_rows("in.jsonl", *(lines if rows_name_it else asked))
        job = model_job(endpoint, names, rows_name_it=rows_name_it)
        if directory == "one":
            batchrun("run", job, "-o", "one")
    checked = batchrun("check", job, "-o", "out", "--reuse", "one", "--json")
    assert checked.json["reused"] == [{"run": "one", "rows": 3}]
    done, count = bought(endpoint, lambda: batchrun("run", job, "-o", "out", "--reuse", "one", "--json"))
    assert (done.code, done.json["completed"], done.json["attempts"], count) == (0, 3, 0, 0)
    assert done.json["reused"] == [{"run": "one", "rows": 3}]
    assert [row["model"] for row in results("out")] == [*ours] * 3
    assert [row["response_id"] for row in results("out")] == [row["response_id"] for row in results("one")]
    done, count = bought(endpoint, lambda: batchrun("run", job, "-o", "out", "--json"))
    assert (done.json["completed"], count) == (3, 0)


def test_an_answer_is_for_one_of_the_names_of_its_model(batchrun: Any, endpoint: Any) -> None:
    """Also where one of them had it in an earlier execution, and for a model of another name that is asked the same."""
    write_prompts("a", path="in.jsonl")
    batchrun("run", model_job(endpoint, {MODEL: MODEL, OTHER: OTHER}), "-o", "one")
    job = model_job(endpoint, {"first": MODEL, "second": MODEL, "other": OTHER})
    done, count = bought(endpoint, lambda: batchrun("run", job, "-o", "out", "--reuse", "one", "--json"))
    assert (done.json["completed"], count) == (3, 1)
    assert [(row["model"], row["attempts"]) for row in results("out")] == [("first", 0), ("second", 1), ("other", 0)]
    write_prompts("a", "a", path="in.jsonl")
    done, count = bought(endpoint, lambda: batchrun("run", job, "-o", "out", "--reuse", "one", "--json"))
    assert (done.json["completed"], count) == (6, 3)


def test_a_run_looks_again_once_its_names_stand_for_other_models(batchrun: Any, endpoint: Any) -> None:
    """Input and requests are the same, but other answers count."""
    write_prompts("a", "b", path="in.jsonl")
    batchrun("run", model_job(endpoint, {MODEL: MODEL}), "-o", "one")
    job = model_job(endpoint, {"mine": OTHER})
    flags = ("-o", "out", "--reuse", "one", "--json")
    _, count = bought(endpoint, lambda: batchrun("run", job, *flags, "--limit", 1))
    assert count == 1
    _, count = bought(endpoint, lambda: batchrun("run", model_job(endpoint, {"mine": MODEL}), *flags, "--yes"))
    assert count == 0
    assert [row["reused_from"] for row in results("out")] == [None, "one"]


def test_a_run_says_which_answers_stay_unused_since_their_url_is_not_known(go: Go, endpoint: Any) -> None:
    """Older versions did not note which of two base URLs had answered."""
    go("one", "a")
    urls = json.dumps(["http://127.0.0.1:1/v1", endpoint.base_url])
    with sqlite3.connect("one/checkpoint.sqlite") as connection:
        connection.execute("DELETE FROM row_checksums")
        connection.execute("DELETE FROM facts WHERE name IN ('meant', 'named', 'unnamed')")
        connection.execute("UPDATE facts SET value = ? WHERE name = 'endpoints'", (urls,))
    done, count = bought(endpoint, lambda: go("out", "a", reuse=("one",)))
    assert (done.code, count) == (0, 1)
    assert "one: its endpoint has had several base URLs or models, and older answers do not tell which" in done.stderr
