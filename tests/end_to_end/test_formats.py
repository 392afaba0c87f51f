"""Results in other formats: OpenAI's batch files, JSON Lines, CSV, and one row per prompt."""

import csv
import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.later import Later
from harness.prompts import results, write_prompts, write_rows
from harness.settled import HEAD, body_of, failed, settle

chat = Later("openai.types.chat")

MODELS = ["meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b"]


def lines(name: str) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON Lines."""
    return [json.loads(line) for line in Path("out", name).read_bytes().splitlines()]


def batch_line(custom_id: str, content: str, **others: Any) -> dict[str, Any]:
    """Return a request in the format of OpenAI's Batch API."""
    body = {"model": others.pop("model", MODELS[0]), "messages": [{"role": "user", "content": content}]}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body | others}


def test_a_batch_file_as_input_gives_batch_files_as_output(run: Any, batchrun: Any, endpoint: Any) -> None:
    """A file for OpenAI or for vLLM's run-batch works unchanged; its rows keep their ids and models."""
    asked = [
        batch_line("first", "a", max_tokens=20, temperature=0),
        batch_line("second", "[[simulate: 400]]"),
        batch_line("third", "c", model=MODELS[1]),
    ]
    assert run(write_rows("batch.jsonl", *asked), model=None).code == 1
    assert endpoint.stats.received == 4  # three rows, and the canary that confirms the failure
    done = batchrun("export", "out", "--format", "openai")
    assert done.code == 0
    assert done.stderr.split() == ["out/results.openai.jsonl", "out/errors.openai.jsonl"]
    output, errors = lines("results.openai.jsonl"), lines("errors.openai.jsonl")
    assert [line["custom_id"] for line in output] == ["first", "third"]
    assert [line["custom_id"] for line in errors] == ["second"]
    for line in [*output, *errors]:
        assert list(line) == ["id", "custom_id", "response", "error"]
        assert list(line["response"]) == ["status_code", "request_id", "body"]
        assert isinstance(line["response"]["request_id"], str)
    assert len({line["id"] for line in [*output, *errors]}) == 3
    answers = [chat.ChatCompletion.model_validate(line["response"]["body"], strict=True) for line in output]
    assert [answer.model for answer in answers] == MODELS
    assert [answer.choices[0].message.content for answer in answers] == [
        row["response"] for row in results() if row["status"] == "completed"
    ]
    assert [(line["response"]["status_code"], line["error"]) for line in output] == [(200, None)] * 2
    assert errors[0]["response"]["status_code"] == 400
    assert errors[0]["response"]["body"]["error"]["message"]
    assert errors[0]["error"] is None


def test_the_error_file_has_a_reason_for_every_failure(batchrun: Any) -> None:
    """A request without an answer has no response; one with an invalid answer has a response and an error."""
    outcomes: list[Any] = [
        failed("connection", error="refused"),
        failed("server_error", 500, error="boom", body=b"<html>boom</html>"),
        failed("invalid_response", 200, error="does not fit", body=body_of("neither", 7)),
        failed("bad_request", 400, body=b'{"error":\r\n {"message": "no"}}'),
    ]
    schema = '[response]\nschema = { type = "object", properties = { a = { type = "string" } } }\n'
    settle([*({"prompt": str(each)} for each in range(4)), {"promt": 1}], lambda asked: outcomes[asked.row], schema)
    assert batchrun("export", "out", "--format", "openai").code == 0
    assert lines("results.openai.jsonl") == []
    gone, broken, invalid, refused, bad = lines("errors.openai.jsonl")
    assert (gone["response"], gone["error"]) == (None, {"code": "connection", "message": "refused"})
    assert broken["response"]["body"] == {
        "error": {"message": "boom", "type": "server_error", "param": None, "code": "server_error"}
    }
    assert invalid["response"]["body"] == json.loads(body_of("neither", 7))
    assert invalid["response"]["request_id"] == "chatcmpl-7"
    assert (invalid["error"]["code"], "no JSON object" in invalid["error"]["message"]) == ("invalid_response", True)
    assert (refused["response"]["status_code"], refused["error"]) == (400, None)
    assert refused["response"]["body"] == {"error": {"message": "no"}}
    assert (bad["custom_id"], bad["response"], bad["error"]["code"]) == ("4", None, "bad_row")


def test_an_answer_of_several_lines_is_one_line_of_the_file(batchrun: Any) -> None:
    """Its text is unchanged."""
    answer = json.loads(body_of("two\nlines"))
    settle([{"prompt": "a"}], lambda asked: {"body": json.dumps(answer, indent=2).encode()})
    batchrun("export", "out", "--format", "openai")
    (line,) = lines("results.openai.jsonl")
    assert line["response"]["body"] == answer


def vector_rows(form: str) -> str:
    """Write rows that ask for base64, for numbers, for nothing; return the path of their file."""
    asked: list[dict[str, Any]] = [{"encoding_format": "base64"}, {"encoding_format": "float"}, {}]
    if form == "batch lines":
        head = {"method": "POST", "url": "/v1/embeddings"}
        bodies = [{"model": MODELS[0], "input": "a", "dimensions": 4} | each for each in asked]
        return write_rows(
            "in.jsonl", *({"custom_id": str(row), **head, "body": body} for row, body in enumerate(bodies))
        )
    if form == "params":
        return write_rows("in.jsonl", *({"input": "a", "params": {"dimensions": 4} | each} for each in asked))
    texts = [json.dumps({"dimensions": 4} | each).replace('"', '""') for each in asked]
    Path("in.csv").write_text("input,params\n" + "".join(f'a,"{text}"\n' for text in texts))
    return "in.csv"


@pytest.mark.parametrize("form", ["batch lines", "params", "csv"])
@pytest.mark.parametrize(
    ("flag", "forms"),
    [((), [str, list, list]), (("--param", "encoding_format=base64"), [str] * 3)],
    ids=["as the row asks", "as the flag asks"],
)
def test_vectors_are_exported_as_the_row_asks(
    run: Any, batchrun: Any, form: str, flag: tuple[str, ...], forms: list[type]
) -> None:
    """Between endpoint and checkpoint all are base64, unless a row asks for numbers."""
    path = vector_rows(form)
    model = None if form == "batch lines" else MODELS[0]
    kind = () if model is None else ("--kind", "embeddings")
    assert run(path, *kind, *flag, model=model).code == 0
    assert batchrun("export", "out", "--format", "openai").code == 0
    vectors = [line["response"]["body"]["data"][0]["embedding"] for line in lines("results.openai.jsonl")]
    assert [type(vector) for vector in vectors] == forms
    Path(path).unlink()
    done = batchrun("export", "out", "--format", "openai")
    assert done.code == 0
    assert ("vectors are numbers unless the job asks for base64" in done.stderr) == (not flag)


def test_json_lines_have_the_columns_of_the_results(run: Any, batchrun: Any) -> None:
    """Each row is an object, with nested values. The file is next to results.parquet, which stays."""
    run(write_rows("in.jsonl", {"prompt": "ä", "tags": ["a"], "meta": {"n": None}}, {"prompt": "[[simulate: 400]]"}))
    before = Path("out/results.parquet").read_bytes()
    done = batchrun("export", "out", "--format", "jsonl")
    assert (done.code, done.stderr) == (0, "out/results.jsonl\n")
    expected = results()
    for row in expected:
        row["finished_at"] = row["finished_at"].isoformat()
    assert lines("results.jsonl") == expected
    assert list(lines("results.jsonl")[0]) == list(expected[0])
    assert Path("out/results.parquet").read_bytes() == before


def test_csv_has_the_columns_of_the_results(run: Any, batchrun: Any) -> None:
    """Lists and objects are JSON; null is empty."""
    rows = [{"prompt": 'a "b",\nc', "tags": ["a"], "n": 1, "ok": True}, {"prompt": "[[simulate: 400]]", "tags": None}]
    run(write_rows("in.jsonl", *rows))
    done = batchrun("export", "out", "--format", "csv")
    assert (done.code, done.stderr) == (0, "out/results.csv\n")
    with Path("out/results.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    expected = results()
    assert list(read[0]) == list(expected[0])
    for row, right in zip(read, expected, strict=True):
        assert row["response"] == (right["response"] or "")
        assert datetime.fromisoformat(row["finished_at"]) == right["finished_at"]
    assert [row["prompt"] for row in read] == [row["prompt"] for row in rows]
    assert [row["tags"] for row in read] == ['["a"]', ""]
    assert [(row["n"], row["ok"], row["row"]) for row in read] == [("1", "true", "0"), ("", "", "1")]


def test_one_row_per_prompt_has_a_column_for_each_model_and_sample(batchrun: Any) -> None:
    """They follow the columns of the input; failed requests are null."""
    head = HEAD.replace('["m"]', '["m", "x/n"]\nnum_samples = 2')

    def answer(asked: Any) -> Any:
        if (asked.row, asked.model, asked.sample) == (1, "x/n", 0):
            return failed("bad_request", 400)
        return f"{asked.row}{asked.model}{asked.sample}"

    evaluate = '[evaluate]\ntarget = "right"\n'
    settle([{"prompt": "p", "right": f"{row}m0"} for row in range(3)], answer, evaluate, head=head)
    done = batchrun("export", "out", "--wide")
    assert done.code == 0
    assert done.stderr.splitlines()[-1] == "out/results.wide.parquet"
    rows = pq.read_table("out/results.wide.parquet").to_pylist()
    pairs = ["m/0", "m/1", "x/n/0", "x/n/1"]
    values = [f"{pair}/{name}" for pair in pairs for name in ("response", "score")]
    assert list(rows[0]) == ["row", "custom_id", "prompt", "right", *values]
    assert [row["right"] for row in rows] == ["0m0", "1m0", "2m0"]
    assert [rows[2][f"{pair}/response"] for pair in pairs] == ["2m0", "2m1", "2x/n0", "2x/n1"]
    assert [rows[1][f"{pair}/response"] for pair in pairs] == ["1m0", "1m1", None, "1x/n1"]
    assert [rows[1][f"{pair}/score"] for pair in pairs] == [1.0, 0.0, None, 0.0]
    assert not Path("out/results.parquet").exists()


def test_one_row_per_prompt_works_with_a_schema_and_other_formats(batchrun: Any) -> None:
    """Each model and sample has the columns of the schema."""
    schema = '[response]\nschema = { type = "object", properties = { n = { type = "integer" } }, required = ["n"] }\n'
    settle([{"prompt": "p"}], lambda asked: '{"n": 5}', schema)
    for format_ in ("jsonl", "csv", "parquet"):
        assert batchrun("export", "out", "--wide", "--format", format_).code == 0
    assert lines("results.wide.jsonl") == [
        {"row": 0, "custom_id": "0", "prompt": "p", "m/0/response": '{"n": 5}', "m/0/n": 5}
    ]
    assert Path("out/results.wide.csv").read_text() == (
        '"row","custom_id","prompt","m/0/response","m/0/n"\n0,"0","p","{""n"": 5}",5\n'
    )
    assert pq.read_table("out/results.wide.parquet").to_pylist() == lines("results.wide.jsonl")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--wide", "--format", "openai"], "--wide and --format openai exclude each other"),
        (["--format", "xml"], "'xml' is not one of 'parquet', 'jsonl', 'csv', 'openai'"),
    ],
)
def test_invalid_combinations_of_flags_are_refused(run: Any, batchrun: Any, flags: list[str], words: str) -> None:
    """The exit code is 2."""
    run(write_prompts("a"))
    done = batchrun("export", "out", *flags)
    assert done.code == 2
    assert words in " ".join(done.stderr.split())


def test_too_many_answers_per_prompt_are_refused(batchrun: Any) -> None:
    """There would be too many columns."""
    head = HEAD.replace('["m"]', '["m"]\nnum_samples = 1001')
    settle([{"prompt": "p"}], lambda asked: "x", head=head)
    done = batchrun("export", "out", "--wide")
    assert done.code == 2
    assert "each prompt has 1,001 answers; at most 1,000 fit into one row" in done.stderr


def test_one_row_per_prompt_needs_a_settled_row(batchrun: Any) -> None:
    """Otherwise no model is known for the names of the columns."""
    settle([{"prompt": "a"}], lambda asked: "x")
    with sqlite3.connect("out/checkpoint.sqlite") as connection:
        connection.execute("DELETE FROM outcomes")
        connection.execute("DELETE FROM row_checksums")
        connection.execute("DELETE FROM totals")
    done = batchrun("export", "out", "--wide")
    assert done.code == 2
    assert "no row is settled yet" in done.stderr
