"""Each kind of request, from the input to the results, against the simulator over a real socket."""

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.later import Later
from harness.prompts import results, write_prompts, write_rows

from batchrun.answers.data_columns import DOCS

openai = Later("openai")


MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def line(number: int, url: str, **body: Any) -> dict[str, Any]:
    """Return a line of a batch file."""
    return {"custom_id": f"r{number}", "method": "POST", "url": url, "body": {"model": MODEL} | body}


def chat(number: int, text: str = "Hi") -> dict[str, Any]:
    return line(number, "/v1/chat/completions", messages=[{"role": "user", "content": text}])


@pytest.mark.parametrize("stream", ["--no-stream", "--stream"])
def test_base_models_continue_a_text(run: Any, endpoint: Any, stream: str) -> None:
    """The prompt is sent as it is; the answer is a text with its usage, streamed or not."""
    write_prompts("Once upon a time", "[[simulate: 500 x1]] The end")
    assert run("in.jsonl", "--kind", "completions", "--max-tokens", 9, stream).code == 0
    assert all(row["response"] and row["status"] == "completed" for row in results())
    assert sum(row["completion_tokens"] for row in results()) == endpoint.stats.completion_tokens
    assert sum(row["prompt_tokens"] for row in results()) == endpoint.stats.prompt_tokens


def test_a_template_makes_the_text_of_a_completion(run: Any, batchrun: Any) -> None:
    write_rows("in.jsonl", {"word": "once"})
    assert run("in.jsonl", "--kind", "completions", "-t", "Say {{ word }}:", "--param", "echo=true").code == 0
    assert results()[0]["response"].startswith("Say once:")
    command = batchrun("show", "out", "--row", 0, "--curl").stdout
    assert "/v1/completions" in command
    assert '"prompt":"Say once:"' in command


def test_log_probabilities_of_completions_become_the_column(run: Any) -> None:
    """`logprobs` is a number here; the tokens of a row together are its text."""
    write_prompts("Once")
    Path("job.toml").write_text(
        '[input]\npath = "in.jsonl"\n[model]\nkind = "completions"\nlogprobs = true\ntop_logprobs = 2\n'
        '[output]\ndir = "out"\n',
        encoding="utf-8",
    )
    assert run("job.toml").code == 0
    [row] = results()
    assert "".join(each["token"] for each in row["logprobs"]) == row["response"]
    assert all(len(each["top_logprobs"]) == 2 for each in row["logprobs"])


def test_the_lines_of_a_batch_file_name_their_kinds(run: Any) -> None:
    """Each is sent to its path; a line with another url fails alone."""
    write_rows(
        "in.jsonl",
        chat(0),
        line(1, "/v1/completions", prompt="Once", echo=True),
        line(2, "/v1/moderations", input="Once"),
    )
    assert run("in.jsonl", model=None).code == 1
    one, two, three = results()
    assert one["status"] == two["status"] == "completed"
    assert two["response"].startswith("Once")
    assert three["error_kind"] == "bad_row"
    assert "only …/chat/completions" in three["error"]
    assert run("in.jsonl", model=None).code == 1  # nothing is sent again
    assert [row["response_id"] for row in results()] == [row["response_id"] for row in (one, two, three)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-s", "Be brief."], "-s is set; requests of the kind completions have no messages"),
        (["--schema", "s.json"], "--schema is set; requests of the kind completions take no schema"),
        (["--kind", "images"], "must be one of chat, completions"),
    ],
)
def test_a_setting_that_a_kind_does_not_take_is_refused(run: Any, endpoint: Any, more: list[str], message: str) -> None:
    """Before anything is sent, with the cure."""
    write_prompts("Once")
    Path("s.json").write_bytes(orjson.dumps({"type": "object", "properties": {"a": {"type": "string"}}}))
    refused = run("in.jsonl", "--kind", "completions", *more)
    assert refused.code == 2
    assert message in refused.stderr
    assert endpoint.stats.received == 0


@pytest.mark.parametrize("stream", ["--no-stream", "--stream"])
def test_messages_are_asked_as_items_of_a_response(run: Any, endpoint: Any, stream: str) -> None:
    """The system message becomes the instructions; the answer has the same columns as a chat completion's."""
    write_rows(
        "in.jsonl",
        {"prompt": "[[simulate: cut_body x1]] Hi"},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"prompt": "Hi", "params": {"max_tokens": 3}},
        line(3, "/v1/responses", input="Hi", max_output_tokens=3),
    )
    assert run("in.jsonl", "--kind", "responses", "-s", "Be brief.", stream).code == 0
    rows = results()
    assert all(row["response"] for row in rows)
    assert [row["finish_reason"] for row in rows] == ["stop", "stop", "length", "length"]
    assert rows[2]["response"] == rows[3]["response"]
    assert endpoint.stats.completion_tokens > sum(row["completion_tokens"] for row in rows)
    assert endpoint.stats.billed_unreceived == 1
    with openai.OpenAI(base_url=endpoint.base_url, api_key="x") as client:
        found = client.responses.create(model=MODEL, instructions="Be brief.", input="Hi", max_output_tokens=3)
    assert found.output_text == rows[2]["response"]
    assert found.usage is not None
    assert found.usage.input_tokens == rows[2]["prompt_tokens"]


def test_responses_take_a_schema_and_repair_an_answer_that_does_not_fit(run: Any) -> None:
    """Sent as `text.format`; the repair follows the items."""
    Path("s.json").write_bytes(orjson.dumps({"type": "object", "properties": {"a": {"type": "string"}}}))
    write_prompts("Hi", "[[simulate: off_schema x1]] Hi")
    assert run("in.jsonl", "--kind", "responses", "--schema", "s.json").code == 0
    assert all(row["status"] == "completed" for row in results())
    one, two = (row["attempts"] for row in results())
    assert one == 1 < two


@pytest.mark.parametrize(("kind", "name"), [("embeddings", "embedding"), ("rerank", "ranking"), ("score", "scores")])
def test_a_run_without_answers_has_the_column_of_its_kind(kind: str, name: str, run: Any) -> None:
    """A program that reads it need not ask first."""
    fails = "[[simulate: 400 x9]]"
    rows = {
        "embeddings": {"text": fails},
        "rerank": {"query": fails, "documents": ["a"]},
        "score": {"text_1": fails, "text_2": "a"},
    }
    write_rows("in.jsonl", rows[kind])
    assert run("in.jsonl", "--kind", kind).code == 1
    column = pq.read_table("out/results.parquet")[name]
    assert column.to_pylist() == [None]
    assert column.type == DOCS[name][0]


def test_tools_and_reasoning_of_responses_have_their_columns(run: Any, endpoint: Any) -> None:
    endpoint.change(reasoning_models=["Llama"])
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    write_rows("in.jsonl", {"prompt": "Hi", "params": {"tools": [tool], "tool_choice": "required"}}, {"prompt": "Hi"})
    assert run("in.jsonl", "--kind", "responses").code == 0
    one, two = results()
    assert orjson.loads(one["tool_calls"])[0]["function"]["name"] == "look"
    assert one["finish_reason"] == "tool_calls"
    assert two["reasoning"]
    assert two["reasoning_tokens"] > 0


def test_images_travel_in_responses(run: Any, endpoint: Any) -> None:
    Path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 50)
    write_rows("in.jsonl", {"prompt": "What is it?", "image": "a.png"})
    assert run("in.jsonl", "--kind", "responses", "--images", "image").code == 0
    assert endpoint.stats.prompt_tokens > 256


def test_a_text_becomes_a_vector(run: Any, endpoint: Any) -> None:
    """A column of one length, the same numbers that the `openai` client gets; no tokens are bought as output."""
    write_rows("in.jsonl", {"text": "one"}, {"text": "[[simulate: 503 x1]] two"}, {"text": ""})
    assert run("in.jsonl", "--kind", "embeddings", "--param", "dimensions=8").code == 1
    assert pq.read_schema("out/results.parquet").field("embedding").type == pa.list_(pa.float32(), 8)
    one, two, three = results()
    with openai.OpenAI(base_url=endpoint.base_url, api_key="x") as client:
        found = client.embeddings.create(model=MODEL, input=["one", "[[simulate: 503 x1]] two"], dimensions=8)
    assert [each.embedding for each in found.data] == [one["embedding"], two["embedding"]]
    assert (one["response"], one["completion_tokens"], one["prompt_tokens"]) == (None, 0, one["total_tokens"])
    assert (three["status"], three["embedding"]) == ("failed", None)
    assert pq.read_table("out/usage.parquet").to_pylist()[0]["completion_tokens"] == 0


def test_numbers_in_json_are_read_as_vectors_too(run: Any) -> None:
    write_rows("in.jsonl", {"input": "one"})
    assert run("in.jsonl", "--kind", "embeddings", "--param", "encoding_format=float").code == 0
    [row] = results()
    assert len(row["embedding"]) == 64
    assert sum(each * each for each in row["embedding"]) == pytest.approx(1.0, abs=1e-6)


def test_vectors_of_several_lengths_and_rows_of_several_texts_have_columns_that_hold_them(run: Any) -> None:
    """A column of one type is widened once a later answer needs it; nothing is lost or cut."""
    write_rows(
        "in.jsonl",
        *({"input": f"text {number}"} for number in range(600)),
        {"input": "short", "params": {"dimensions": 3}},
        {"input": ["a", "b", "c"], "params": {"dimensions": 2}},
    )
    assert run("in.jsonl", "--kind", "embeddings").code == 0
    schema = pq.read_schema("out/results.parquet")
    assert schema.field("embedding").type == pa.list_(pa.float32())
    *full, short, several = results()
    assert {len(row["embedding"]) for row in full} == {64}
    assert (len(short["embedding"]), short["embeddings"], several["embedding"]) == (3, None, None)
    assert [len(each) for each in several["embeddings"]] == [2, 2, 2]


def test_documents_are_ranked_and_pairs_are_scored(run: Any, batchrun: Any) -> None:
    """`ranking` has the places of the documents, the most relevant first; `scores` a number for each pair."""
    documents = ["the sea is blue", "the cat sat on the mat", "a dog"]
    write_rows("in.jsonl", {"query": "where sat the cat", "documents": documents})
    assert run("in.jsonl", "--kind", "rerank").code == 0
    [row] = results()
    assert [each["index"] for each in row["ranking"]] == [1, 0, 2]
    assert row["ranking"][0]["relevance_score"] > row["ranking"][1]["relevance_score"]
    write_rows("pairs.jsonl", {"text_1": "a cat", "text_2": ["a cat", "b"]}, {"text_1": "a cat", "text_2": "cat"})
    assert batchrun("run", "pairs.jsonl", "--kind", "score", "-m", MODEL, "-o", "s", "--simulate").code == 0
    one, two = results("s")
    assert one["scores"][0] > 0.9 > 0.1 > one["scores"][1]
    assert len(two["scores"]) == 1
    assert batchrun("show", "s").code == 0


def test_lines_of_all_kinds_in_one_file_have_the_columns_of_all(run: Any) -> None:
    """Columns are null where a kind has none."""
    write_rows(
        "in.jsonl",
        chat(0),
        line(1, "/v1/embeddings", input="a", dimensions=4),
        line(2, "/v1/completions", prompt="a"),
        line(5, "/v1/responses", input="a"),
        line(3, "/v1/rerank", query="a", documents=["a"]),
        line(4, "/v1/score", text_1="a", text_2="b"),
    )
    assert run("in.jsonl", "--max-tokens", 20, model=None).code == 0
    filled = [{name for name in COLUMNS if row[name] is not None} for row in results()]
    assert filled == [{"response"}, {"embedding"}, {"response"}, {"response"}, {"ranking"}, {"scores"}]


COLUMNS = ("response", "embedding", "ranking", "scores")


def test_every_kind_is_exported_in_its_own_shape(run: Any, batchrun: Any, endpoint: Any) -> None:
    """As the lines of OpenAI's batch files: the answer as the server sent it."""
    write_rows(
        "in.jsonl",
        chat(0),
        line(1, "/v1/embeddings", input="a", dimensions=4),
        line(2, "/v1/completions", prompt="a"),
        line(3, "/v1/responses", input="a"),
    )
    assert run("in.jsonl", model=None).code == 0
    assert batchrun("export", "out", "--format", "openai").code == 0
    lines = [orjson.loads(each) for each in Path("out/results.openai.jsonl").read_bytes().splitlines()]
    shown = [each["response"]["body"]["object"] for each in lines]
    assert shown == ["chat.completion", "list", "text_completion", "response"]
    assert [each["custom_id"] for each in lines] == ["r0", "r1", "r2", "r3"]


def test_people_see_the_length_of_a_vector_and_how_it_begins(run: Any, batchrun: Any) -> None:
    """In `show`, a row in full, the report, and what `check` expects."""
    write_rows("in.jsonl", {"input": "a word"}, {"input": "another"})
    assert run("in.jsonl", "--kind", "embeddings").code == 0
    shown = batchrun("show", "out", "--row", 0).stdout
    assert "(64 numbers)" in shown
    assert "a word" in shown
    assert batchrun("report", "out").code == 0
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "(64 numbers)" in page
    assert "has no text" not in run("in.jsonl", "--kind", "embeddings").stderr
    checked = batchrun("check", "in.jsonl", "-m", MODEL, "--kind", "embeddings", "--json")
    assert orjson.loads(checked.stdout)["prompts"][0]["input"] == "a word"


def test_check_shows_what_a_completion_asks(batchrun: Any, endpoint: Any) -> None:
    write_prompts("Once upon")
    shown = batchrun("check", "in.jsonl", "-m", MODEL, "--kind", "completions", "--base-url", endpoint.base_url).stdout
    assert "prompt    Once upon" in shown


def test_the_rows_of_several_kinds_are_shown_with_what_each_answered(run: Any, batchrun: Any) -> None:
    """The text of one stands next to the vector of the other; vectors alone leave the empty texts out."""
    write_rows("in.jsonl", chat(0), line(1, "/v1/embeddings", input="a boat"))
    assert run("in.jsonl").code == 0
    head = batchrun("show", "out").stdout.splitlines()[0].split()
    assert {"embedding", "response"} <= {*head}
    assert results()[0]["response"][:12] in batchrun("show", "out").stdout
    write_rows("in.jsonl", line(1, "/v1/embeddings", input="a boat"))
    assert run("in.jsonl", "--restart").code == 0
    assert "response" not in batchrun("show", "out").stdout.splitlines()[0].split()


@pytest.mark.parametrize(("kind", "missing"), [("rerank", "documents"), ("score", "text_2")])
def test_what_no_template_makes_is_named_and_no_template_is_advised(run: Any, kind: str, missing: str) -> None:
    """A template makes the first of two; with it, the second would still be missing."""
    write_prompts("what floats")
    found = run("in.jsonl", "--kind", kind)
    assert found.code == 2
    assert f"each row needs {missing}: name a column so" in found.stderr
    assert "-t " not in found.stderr
