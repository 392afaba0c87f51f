"""What the user states wins: a flag, then the row, then the job file, as the server receives it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.prompts import results, write_rows
from harness.raw_servers import RawServer, echo

CHAT = {"messages": [{"role": "user", "content": "old"}, {"role": "assistant", "content": "answer"}]}
BATCH = {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "other", **CHAT}}


class Books:
    """What a server has received."""

    def __init__(self, server: RawServer, base_url: str) -> None:
        self._server, self.base_url = server, base_url

    def take(self) -> list[dict[str, Any]]:
        """Return the bodies since the last time, without their models, in the order of their content."""
        bodies = [orjson.loads(each.partition(b"\r\n\r\n")[2]) for each in self._server.requests]
        self._server.requests.clear()
        assert {body.pop("model") for body in bodies} <= {"m"}
        return sorted(bodies, key=lambda body: str(body["messages"]))


@pytest.fixture
def books() -> Iterator[Books]:
    """Return the books of a server that answers every request with its own prompt."""
    server = RawServer(echo)
    with server.in_thread() as base_url:
        yield Books(server, base_url)


@pytest.fixture
def ask(batchrun: Any, books: Books) -> Any:
    """Run a command against the server; return what it received."""

    def ask(*arguments: Any, code: int = 0) -> list[dict[str, Any]]:
        done = batchrun("run", *arguments, "-m", "m", "--base-url", books.base_url, "-o", "out")
        assert done.code == code, done.stderr
        return books.take()

    return ask


def user(content: str, **parameters: Any) -> dict[str, Any]:
    """Return the body of a request."""
    return {"messages": [{"role": "user", "content": content}], **parameters}


@pytest.mark.parametrize("columns", [CHAT, BATCH, {"prompt": "old"}, {"prompt": "old", "system": "old"}], ids=str)
@pytest.mark.parametrize("place", ["flag", "job"])
def test_a_template_is_what_the_server_gets_whatever_columns_a_row_has(
    ask: Any, columns: dict[str, Any], place: str
) -> None:
    """Given as a flag or in a job file; so is the template of the system message."""
    path = write_rows("in.jsonl", {"text": "new", **columns}, {"text": "more", **columns})
    arguments = [path, "-t", "Judge: {{ text }}", "-s", "Be {{ text }}"]
    if place == "job":
        Path("job.toml").write_text(
            '[input]\npath = "in.jsonl"\n[prompt]\nuser = "Judge: {{ text }}"\nsystem = "Be {{ text }}"\n'
        )
        arguments = ["job.toml"]
    expected = [
        {"messages": [{"role": "system", "content": f"Be {text}"}, {"role": "user", "content": f"Judge: {text}"}]}
        for text in ("more", "new")
    ]
    assert ask(*arguments) == expected
    assert [row["response"] for row in results()] == ["Judge: new", "Judge: more"]
    assert ask(*arguments) == []


def test_any_parameter_can_be_a_flag_and_beats_the_row_and_the_job_file(ask: Any) -> None:
    """As JSON, or as the text that it is where it is not JSON."""
    write_rows("in.jsonl", {"prompt": "a", "params": {"top_k": 1, "min_p": 0.5}})
    Path("job.toml").write_text('[input]\npath = "in.jsonl"\n[model]\ntop_k = 2\nseed = 1\n')
    flags = ["--param", "top_k=3", "--param", "reasoning_effort=high", "--param", 'logit_bias={"5": -1}']
    flags += ["--param", "seed=null", "--param", "temperature=0.5", "--param", 'user="7"']
    sent = {"top_k": 3, "min_p": 0.5, "reasoning_effort": "high", "logit_bias": {"5": -1}}
    assert ask("job.toml", *flags) == [user("a", **sent, temperature=0.5, user="7")]


def test_a_flag_beats_a_row_beats_the_job_file_and_null_takes_away(ask: Any) -> None:
    """As the server receives it; rows whose request is the same keep their answers when the flag comes or goes."""
    write_rows(
        "in.jsonl",
        {"prompt": "a", "params": {"temperature": 1, "top_p": 0.5}},
        {"prompt": "b", "params": {"temperature": None}},
        {"prompt": "c"},
    )
    Path("job.toml").write_text('[input]\npath = "in.jsonl"\n[model]\ntemperature = 0.3\nmax_tokens = 9\n')
    assert ask("job.toml") == [
        user("a", max_tokens=9, temperature=1, top_p=0.5),
        user("b", max_tokens=9),
        user("c", max_tokens=9, temperature=0.3),
    ]
    assert ask("job.toml") == []
    changed = ["job.toml", "--temperature", "0.3", "--yes"]
    assert ask(*changed) == [
        user("a", max_tokens=9, temperature=0.3, top_p=0.5),
        user("b", max_tokens=9, temperature=0.3),
    ]
    assert ask(*changed) == []
    assert ask("job.toml", "--temperature", "0", "--yes") == [
        user("a", max_tokens=9, temperature=0, top_p=0.5),
        user("b", max_tokens=9, temperature=0),
        user("c", max_tokens=9, temperature=0),
    ]


def test_check_foresees_what_a_flag_changes_and_names_it(batchrun: Any, ask: Any, books: Books) -> None:
    """The flag has the value of the job file: only the row that states its own asks something else now."""
    write_rows("in.jsonl", {"prompt": "a", "params": {"temperature": 1}}, {"prompt": "b"})
    Path("job.toml").write_text('[input]\npath = "in.jsonl"\n[model]\nname = "m"\ntemperature = 0\n')
    ask("job.toml")
    command = ["job.toml", "--base-url", books.base_url, "-o", "out"]
    same = batchrun("check", *command, "-m", "m", "--json").json
    assert (same["ahead"]["requests"], same["changed"]) == (0, None)
    foreseen = batchrun("check", *command, "-m", "m", "--temperature", "0", "--json").json
    assert foreseen["ahead"]["requests"] == 1
    shown = batchrun("run", *command, "-m", "m", "--temperature", "0", "--yes")
    assert shown.code == 0
    assert books.take() == [user("a", temperature=0)]
    os.utime("in.jsonl")  # so that export renders the rows again, by the stored job
    assert batchrun("export", "out").code == 0
    assert [row["prompt"] for row in results()] == ["a", "b"]


@pytest.mark.parametrize("flag", ["-t", "-s"])
def test_a_flag_reads_a_file_whose_text_is_the_job(ask: Any, flag: str) -> None:
    """Without the end of its last line, as in a shell. Another name changes nothing, another text does."""
    write_rows("in.jsonl", {"prompt": "a"})
    Path("one.txt").write_bytes(b"\xef\xbb\xbfLine\r\n{{ prompt }}\r\n")
    Path("two.txt").write_text("Line\n{{ prompt }}")
    system = [{"role": "system", "content": "Line\na"}] if flag == "-s" else []
    content = "a" if flag == "-s" else "Line\na"
    assert ask("in.jsonl", flag, "@one.txt") == [{"messages": [*system, *user(content)["messages"]]}]
    assert ask("in.jsonl", flag, "@two.txt") == []
    assert ask("in.jsonl", flag, "Line\n{{ prompt }}") == []
    Path("two.txt").write_text("Other\n{{ prompt }}")
    [sent] = ask("in.jsonl", flag, "@two.txt", "--yes")
    assert sent["messages"][0]["content"] == "Other\na"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gone.txt",
            "-t @gone.txt: cannot be read: No such file or directory; a text that begins with @ is written @@",
        ),
        ("none.txt", "-t @none.txt: the file is empty"),
        ("wide.txt", "-t @wide.txt: is not UTF-8 (byte 1)"),
        ("", "-t @: cannot be read: Is a directory; name a file after the @"),
    ],
)
def test_a_file_that_a_flag_cannot_read_is_named(run: Any, endpoint: Any, name: str, message: str) -> None:
    """Nothing is sent."""
    write_rows("in.jsonl", {"prompt": "a"})
    Path("none.txt").write_text("\n")
    Path("wide.txt").write_text("{{ prompt }}", encoding="utf-16")
    done = run("in.jsonl", "-t", f"@{name}")
    assert done.code == 2
    assert message in done.stderr
    assert endpoint.stats.received == 0


def test_a_text_that_begins_with_an_at_sign_is_written_with_two(ask: Any) -> None:
    """Then no file is read."""
    write_rows("in.jsonl", {"prompt": "a"})
    assert ask("in.jsonl", "-t", "@@everybody: {{ prompt }}") == [user("@everybody: a")]
