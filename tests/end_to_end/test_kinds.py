"""Each kind of request, from the input to the results, against the simulator over a real socket."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.prompts import results, write_prompts, write_rows

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


def test_check_shows_what_a_completion_asks(batchrun: Any, endpoint: Any) -> None:
    write_prompts("Once upon")
    shown = batchrun("check", "in.jsonl", "-m", MODEL, "--kind", "completions", "--base-url", endpoint.base_url).stdout
    assert "prompt    Once upon" in shown
