"""`batchrun run`, from a file of prompts to an answer in every row."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import columns, results, write_prompts, write_rows

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

BEFORE = ["row", "custom_id"]
AFTER = [
    "model", "sample", "status", "response", "reasoning", "tool_calls", "refusal", "invalid_response", "finish_reason",
    "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "cost_usd",
    "latency_s", "attempts", "finished_at", "error_kind", "error", "http_status", "endpoint", "answered_by",
    "reused_from", "response_id",
]  # fmt: skip


def test_every_row_is_answered_in_the_order_of_the_file(run: Any, endpoint: Any) -> None:
    """The exit code is 0, and each row is sent once."""
    done = run(write_prompts(*map(str, range(200))))
    assert (done.code, done.stdout) == (0, "")
    assert "200 of 200 rows completed, 0 failed" in done.stderr
    rows = results()
    assert [(row["row"], row["prompt"]) for row in rows] == [(number, str(number)) for number in range(200)]
    assert all(row["status"] == "completed" and row["response"] for row in rows)
    assert endpoint.stats.received == endpoint.stats.answered == 200


def test_the_results_have_the_columns_of_the_reference(run: Any) -> None:
    """The columns of the input follow the row and its id; a clashing name gets a prefix."""
    before = datetime.now(UTC)
    run(write_rows("in.jsonl", {"prompt": "a", "stars": 5, "model": "mine"}))
    assert columns() == [*BEFORE, "prompt", "stars", "input_model", *AFTER]
    (row,) = results()
    assert row["completion_tokens"] + row["prompt_tokens"] == row["total_tokens"]
    assert (row["model"], row["input_model"], row["stars"], row["sample"]) == (MODEL, "mine", 5, 0)
    assert (row["custom_id"], row["attempts"], row["http_status"], row["finish_reason"]) == ("0", 1, 200, "stop")
    assert row["latency_s"] > 0
    assert before.timestamp() - 1 < row["finished_at"].timestamp() < before.timestamp() + 60
    assert row["response_id"].startswith("chatcmpl")
    assert row["error"] is row["error_kind"] is None


def test_usage_and_summary_agree_with_what_the_endpoint_billed(run: Any, endpoint: Any) -> None:
    """Usage, run.json, footer and --json have the same totals, with the canary that confirms the failure."""
    done = run(write_prompts("a", "bb", "[[simulate: 400]]"), "--json")
    billed = endpoint.stats.totals()["billed_tokens"]
    (usage,) = pq.read_table("out/usage.parquet").to_pylist()
    assert list(usage) == [
        "model", "requests", "completed", "failed", "attempts", "throttled", "prompt_tokens", "completion_tokens",
        "total_tokens", "cached_tokens", "reasoning_tokens", "cost_usd", "endpoint", "answered_by",
    ]  # fmt: skip
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (billed["prompt"], billed["completion"])
    assert (usage["requests"], usage["completed"], usage["failed"], usage["attempts"]) == (3, 2, 1, 4)
    footer = json.loads(pq.read_metadata("out/results.parquet").metadata[b"batchrun.usage"])
    saved = json.loads(Path("out/run.json").read_text())
    of_model = {name: value for name, value in usage.items() if name not in ("endpoint", "answered_by")}
    assert footer == [usage]
    assert saved["models"] == done.json["models"] == [of_model]
    assert (usage["endpoint"], usage["answered_by"]) == (endpoint.base_url.split("/")[2], None)
    assert saved == done.json
    assert (saved["state"], saved["exit_code"], saved["rows"], saved["pid"]) == ("completed", 1, 3, None)


def test_the_attempts_are_all_requests_that_the_endpoint_received(run: Any, endpoint: Any) -> None:
    """Including the canary that finds out whether the last row or the endpoint is at fault. It belongs to no row."""
    done = run(write_prompts("a", "[[simulate: 500]]"), "--max-attempts", 2, "--json")
    assert [row["attempts"] for row in results()] == [1, 2]
    assert done.json["attempts"] == done.json["models"][0]["attempts"] == endpoint.stats.received == 4


def packed_gzip(text: str) -> bytes:
    return gzip.compress(text.encode())


def packed_zstd(text: str) -> bytes:
    return bytes(pa.compress(text.encode(), codec="zstd", asbytes=True))


JSONL = '{"text": "one"}\n{"text": "two"}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.jsonl", JSONL.encode()),
        ("in.jsonl", b"\xef\xbb\xbf" + JSONL.replace("\n", "\r\n").encode() + b"\r\n\r\n"),
        ("in.jsonl.gz", packed_gzip(JSONL)),
        ("in.jsonl.zst", packed_zstd(JSONL)),
        ("in.csv", b"text\none\ntwo\n"),
        ("in.csv.gz", packed_gzip("text\none\ntwo\n")),
        ("in.tsv", b"id\ttext\n1\tone\n2\ttwo\n"),
        ("in.json", b'[{"text": "one"},\n {"text": "two"}]\n'),
        ("in.json.gz", packed_gzip(JSONL)),
    ],
    ids=["jsonl", "jsonl of Windows", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "tsv", "json", "JSON Lines in json.gz"],
)
def test_every_format_is_read(run: Any, name: str, content: bytes) -> None:
    """The ending decides; files can be compressed."""
    Path(name).write_bytes(content)
    assert run(name, "-t", "Say {{ text }}").code == 0
    assert [row["text"] for row in results()] == ["one", "two"]


@pytest.mark.parametrize(("name", "text"), [("in.txt", "one\n\ntwo\n"), ("in.json", '["one", "two"]')])
def test_lines_of_text_and_strings_of_json_are_prompts(run: Any, endpoint: Any, name: str, text: str) -> None:
    """They need no template. The same command has nothing to send."""
    Path(name).write_text(text)
    assert "2 of 2 rows completed" in run(name).stderr
    assert [(row["prompt"], row["status"]) for row in results()] == [("one", "completed"), ("two", "completed")]
    assert "nothing to send: 2 of 2 rows completed" in run(name).stderr
    assert endpoint.stats.answered == 2


def test_parquet_keeps_its_types(run: Any) -> None:
    """The types of the input columns are the same in the results."""
    table = pa.table({"text": ["one", "two"], "score": pa.array([1, None], pa.int16()), "tags": [["a"], []]})
    pq.write_table(table, "in.parquet")
    assert run("in.parquet", "-t", "{{ text }}").code == 0
    schema = pq.read_schema("out/results.parquet")
    assert schema.field("score").type == pa.int16()
    assert [row["tags"] for row in results()] == [["a"], []]


@pytest.mark.parametrize("paths", [["data"], ["data/*.jsonl"], ["data/a.jsonl", "data/b.jsonl"]])
def test_a_folder_a_glob_and_a_list_are_read_in_order(run: Any, paths: list[str]) -> None:
    """They are one input with consecutive row numbers."""
    for name in "ba":
        write_prompts(f"{name}1", f"{name}2", path=f"data/{name}.jsonl")
    assert run(*paths).code == 0
    assert [(row["row"], row["prompt"]) for row in results()] == list(enumerate(["a1", "a2", "b1", "b2"]))


def test_standard_input_is_read_and_resumed(run: Any, endpoint: Any) -> None:
    """The same rows piped in again are not sent again."""
    stdin = b'{"prompt": "a"}\n{"prompt": "b"}\n'
    assert run("-", stdin=stdin).code == 0
    assert [row["prompt"] for row in results()] == ["a", "b"]
    assert run("-", stdin=stdin).code == 0
    assert endpoint.stats.received == 2
    assert run("-", stdin=stdin + b'{"prompt": "c"}\n').code == 0
    assert endpoint.stats.received == 3
    assert [row["prompt"] for row in results()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("row", "flags"),
    [
        ({"prompt": "a"}, []),
        ({"prompt": "a", "system": "Be brief."}, []),
        ({"prompt": "a", "params": {"temperature": 0.5}}, []),
        ({"messages": [{"role": "user", "content": "a"}]}, []),
        ({"question": "a"}, ["-t", "{{ question }}", "-s", "Be brief."]),
        ({"custom_id": "x", "method": "POST", "url": "/v1/chat/completions",
          "body": {"model": MODEL, "messages": [{"role": "user", "content": "a"}]}}, []),
    ],
    ids=["prompt", "system", "params", "messages", "template", "batch line"],
)  # fmt: skip
def test_every_form_of_row_is_recognised_and_answered(run: Any, row: dict[str, Any], flags: list[str]) -> None:
    """The columns decide the form."""
    assert run(write_rows("in.jsonl", row), *flags).code == 0
    assert results()[0]["status"] == "completed"


def test_batch_lines_name_their_models(run: Any, batchrun: Any, endpoint: Any) -> None:
    """The job needs no model, and its run can be exported and resumed."""
    body = {"messages": [{"role": "user", "content": "a"}]}
    models = [MODEL, "openai/gpt-oss-20b"]
    write_rows(
        "in.jsonl",
        *({"custom_id": f"id-{model}", "method": "POST", "url": "/v1/chat/completions", "body": body | {"model": model}}
          for model in models),
    )  # fmt: skip
    done = run("in.jsonl", model=None)
    assert (done.code, [row["model"] for row in results()]) == (0, models)
    assert results()[0]["custom_id"] == f"id-{MODEL}"
    assert batchrun("export", "out").code == 0
    assert batchrun("status", "out").code == 0
    assert run("in.jsonl", model=None).code == 0
    assert endpoint.stats.received == 2


def test_a_row_may_have_its_own_parameters(run: Any) -> None:
    """They have precedence over those of the job file, and a flag has precedence over them."""
    write_rows("in.jsonl", {"prompt": "a", "params": {"max_tokens": 1}}, {"prompt": "b"})
    Path("job.toml").write_text('input.path = "in.jsonl"\nmodel.max_tokens = 3\n')
    run("job.toml")
    assert [row["completion_tokens"] for row in results()] == [1, 3]
    run("job.toml", "--max-tokens", 2, "--yes")
    assert [row["completion_tokens"] for row in results()] == [2, 2]


def test_a_broken_row_fails_with_file_and_line_and_the_others_are_answered(run: Any, endpoint: Any) -> None:
    """The exit code is 1, and the broken row is not sent."""
    Path("in.jsonl").write_bytes(b'{"prompt": "a"}\n{"prompt": \n\xff\xfe\n{"other": 1}\n{"prompt": "b"}\n')
    done = run("in.jsonl")
    assert done.code == 1
    assert "2 of 5 rows completed, 3 failed" in done.stderr
    failed = [row for row in results() if row["status"] == "failed"]
    assert [row["error_kind"] for row in failed] == ["bad_row"] * 3
    for row, line in zip(failed, (2, 3, 4), strict=True):
        assert f"in.jsonl:{line}" in row["error"]
        assert (row["attempts"], row["response"], row["http_status"]) == (0, None, None)
    assert endpoint.stats.received == 2


def test_a_failed_row_has_a_reason(run: Any) -> None:
    """It has a kind, the message of the endpoint, and the status."""
    assert run(write_prompts("a", "[[simulate: 400]]", "[[simulate: context_length]]")).code == 1
    _, bad, long = results()
    assert (bad["error_kind"], bad["error"], bad["http_status"]) == ("bad_request", "Invalid request", 400)
    assert (long["error_kind"], long["response"], long["prompt_tokens"]) == ("context_length", None, None)


def test_every_model_and_sample_has_its_own_row(run: Any, endpoint: Any) -> None:
    """The order is row, model, sample. Samples with one seed differ."""
    other = "openai/gpt-oss-20b"
    done = run(write_prompts("a", "b"), "-m", other, "--num-samples", 2, "--seed", 7, "--temperature", 1)
    assert done.code == 0
    order = [(row, model, sample) for row in (0, 1) for model in (other, MODEL) for sample in (0, 1)]
    assert [(row["row"], row["model"], row["sample"]) for row in results()] == order
    assert endpoint.stats.answered == len(endpoint.stats.answered_by_request) == 8
    assert [usage["model"] for usage in pq.read_table("out/usage.parquet").to_pylist()] == [other, MODEL]


def test_requests_to_a_model_that_is_named_twice_are_sent_once(run: Any, endpoint: Any) -> None:
    """It is a harmless mistake, and no answer is lost."""
    assert run(write_prompts("a"), "-m", MODEL).code == 0
    assert endpoint.stats.received == len(results()) == 1


def test_a_stream_gives_the_same_answers(run: Any, endpoint: Any) -> None:
    """The token counts are the same too. Switching to streams sends no row again."""
    run(write_prompts("a", "b"), "--stream")
    streamed = results()
    assert all(row["completion_tokens"] for row in streamed)
    assert run("in.jsonl", "--no-stream").code == 0
    assert endpoint.stats.received == 2
    assert run("in.jsonl", "--restart").code == 0
    assert [row["response"] for row in results()] == [row["response"] for row in streamed]
    assert endpoint.stats.received == 4


def test_keep_and_id_select_the_input_columns_in_the_results(run: Any) -> None:
    """The id is a label for people; only selected columns are kept."""
    write_rows("in.jsonl", {"prompt": "a", "n": 7, "x": 1, "y": 2})
    assert run("in.jsonl", "--id", "n", "--keep", "x, n").code == 0
    assert columns() == [*BEFORE, "x", "n", *AFTER]
    assert results()[0]["custom_id"] == "7"


def test_simulate_needs_neither_endpoint_nor_key(batchrun: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users can try a job with it."""
    monkeypatch.delenv("OPENAI_API_KEY")
    assert batchrun("run", write_prompts("a"), "-m", MODEL, "--simulate", "-o", "out").code == 0
    assert results()[0]["cost_usd"] > 0


def test_quiet_prints_nothing_and_json_prints_one_line(run: Any) -> None:
    """Scripts use both."""
    done = run(write_prompts("a"), "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    done = run("in.jsonl", "--quiet", "--json")
    assert (done.stderr, done.json["completed"], done.json["results"]) == ("", 1, "out/results.parquet")


def test_without_out_the_run_is_named_after_its_input(batchrun: Any, endpoint: Any) -> None:
    """The run directory is under `runs`."""
    assert batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", endpoint.base_url).code == 0
    assert Path("runs/in/results.parquet").exists()


@pytest.fixture
def job(endpoint: Any) -> Callable[[str], str]:
    """Write a job file and its input into another folder."""

    def job(extra: str = "") -> str:
        write_rows("jobs/data/in.jsonl", {"text": "a"}, {"text": "b"})
        Path("jobs/label.toml").write_text(
            f'[input]\npath = "data/in.jsonl"\n[prompt]\nuser = "{{{{ text }}}}"\n[model]\nname = "{MODEL}"\n'
            f'[endpoint]\nbase_url = "{endpoint.base_url}"\n{extra}'
        )
        return "jobs/label.toml"

    return job


def test_a_job_file_runs_from_every_folder(batchrun: Any, job: Any) -> None:
    """Its input and its run directory are next to it."""
    path = Path(job())
    assert path.parent != Path.cwd()
    assert batchrun("run", path).code == 0
    assert [row["text"] for row in results(str(path.parent / "runs/label"))] == ["a", "b"]


def test_flags_have_precedence_over_the_job_file(batchrun: Any, job: Any) -> None:
    """They apply to one execution."""
    assert batchrun("run", job(), "-m", "openai/gpt-oss-20b", "--limit", 1, "-o", "out").code == 0
    assert [row["model"] for row in results()] == ["openai/gpt-oss-20b"]


def test_the_cost_comes_from_the_prices_of_the_job(batchrun: Any, job: Any) -> None:
    """The catalogue has no prices for other endpoints."""
    extra = f'[prices."{MODEL}"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 2\n'
    summary = batchrun("run", job(extra), "--json", "-o", "out").json
    assert summary["cost_usd"] == pytest.approx((summary["prompt_tokens"] + 2 * summary["completion_tokens"]) / 1e6)
    assert sum(row["cost_usd"] for row in results()) == pytest.approx(summary["cost_usd"])


def test_the_project_and_the_key_are_in_their_headers(run: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the named variable."""
    endpoint.change(keys=["sk-mine"], projects=["team/project"])
    monkeypatch.setenv("MINE", "sk-mine")
    assert run(write_prompts("a"), "--api-key-env", "MINE", "--project", "team/project").code == 0
