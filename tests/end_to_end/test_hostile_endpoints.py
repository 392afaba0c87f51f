"""`batchrun run` with servers that break all rules: it finishes or stops cleanly, and no answers are mixed up."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import write_prompts
from harness.raw_servers import RawServer, Visit, answer, completion, prompt_of

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

Reaction = Callable[[Visit], Awaitable[bool]]
"""The behaviour of a server for a bad prompt; returns whether the connection stays open."""


def says(data: bytes, *, stays_open: bool = False) -> Reaction:
    async def react(visit: Visit) -> bool:
        await visit.say(data)
        return stays_open

    return react


async def drips(visit: Visit) -> bool:
    await visit.say(CHUNKED)
    await visit.say_for_ever(b"1\r\n \r\n", 0.05)
    return False


async def is_silent(visit: Visit) -> bool:
    await visit.reader.read()
    return False


async def resets(visit: Visit) -> bool:
    visit.writer.transport.abort()
    return False


def server_that(react: Reaction, *, always: bool = False) -> RawServer:
    """Return a server that answers a prompt with the prompt, unless it is the bad one."""

    async def behave(visit: Visit) -> None:
        stays_open = True
        while stays_open:
            request = await visit.request()
            prompt = prompt_of(request) if request else ""  # without a body: it is asked for its models
            if always or prompt == "bad":
                stays_open = await react(visit)
            else:
                await visit.say(answer(completion(prompt)))

    return RawServer(behave)


def run_on(server: RawServer, batchrun: Any, prompts: list[str], *flags: Any) -> Any:
    with server.in_thread() as base_url:
        return batchrun("run", write_prompts(*prompts), "-m", MODEL, "--base-url", base_url, "-o", "out", *flags)


BAD: dict[str, tuple[Reaction, str]] = {
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "bad_reply"),
    "a body that is cut": (says(answer(completion("x")[:-9], "200 OK", "Content-Length: 5000")), "connection"),
    "a chunk that is cut": (says(CHUNKED + b"ff\r\n{"), "connection"),
    "a reset": (resets, "connection"),
    "silence": (is_silent, "timeout"),
    "a drip": (drips, "timeout"),
    "HTML": (says(answer(b"<html>Sign in</html>"), stays_open=True), "bad_reply"),
    "nulls": (says(answer(b'{"choices": [null]}'), stays_open=True), "bad_reply"),
    "a bomb": (says(answer(gzip.compress(b" " * (65 << 20), 1), "200 OK", "Content-Encoding: gzip")), "too_large"),
    "a gigabyte": (says(answer(b"", "200 OK", f"Content-Length: {10**9}")), "too_large"),
    "two lengths": (says(answer(b"", "200 OK", "Content-Length: 0", "Content-Length: 5")), "bad_reply"),
    "a status nobody knows": (says(answer(b"{}", "999 Odd"), stays_open=True), "server_error"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_row_that_breaks_the_server_fails_alone(name: str, batchrun: Any) -> None:
    """The other rows have their answers, and the run finishes."""
    react, kind = BAD[name]
    prompts = ["0", "1", "bad", *map(str, range(3, 12))]
    timeout_s = 0.5 if kind == "timeout" else 10
    done = run_on(server_that(react), batchrun, prompts, "--max-attempts", 1, "--timeout-s", timeout_s, "-c", 2)
    assert done.code == 1, done.stderr
    assert "Traceback" not in done.stderr
    rows = pq.read_table("out/results.parquet").to_pylist()
    assert [row["response"] or row["error_kind"] for row in rows] == [*prompts[:2], kind, *prompts[3:]]
    assert rows[2]["error"].isprintable()


NOTHING_BUT = {
    "garbage": (says(b"\xff" * 5000), 4),
    "HTML": (says(answer(b"<html>Sign in</html>"), stays_open=True), 4),
    "redirects": (says(answer(b"", "302 Go", "Location: https://login.example/"), stays_open=True), 4),
}


@pytest.mark.parametrize("name", NOTHING_BUT)
def test_an_endpoint_that_never_answers_stops_the_run_and_no_row_fails(name: str, batchrun: Any) -> None:
    """The same command resumes when the endpoint answers again."""
    react, code = NOTHING_BUT[name]
    done = run_on(server_that(react, always=True), batchrun, ["bad"] * 3, "--patience", "0.3s")
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    assert pq.read_table("out/results.parquet").num_rows == 0


def test_if_a_server_answers_twice_no_row_gets_a_wrong_answer(batchrun: Any) -> None:
    """A connection with an extra answer is not used again."""

    async def behave(visit: Visit) -> None:
        while True:
            prompt = prompt_of(await visit.request())
            await visit.say(answer(completion(prompt)) * 2)

    prompts = [str(number) for number in range(60)]
    assert run_on(RawServer(behave), batchrun, prompts, "-c", 4).code == 0
    assert pq.read_table("out/results.parquet")["response"].to_pylist() == prompts


def test_control_characters_of_a_message_do_not_reach_the_terminal(batchrun: Any) -> None:
    """The message of a server is one line of text, in the terminal and in the results."""
    message = '{"error": {"message": "\\u001b[2J\\u001b]0;owned\\u0007 one\\ntwo \\u202e"}}'
    react = says(answer(message.encode(), "400 No"), stays_open=True)
    done = run_on(server_that(react), batchrun, ["bad", "fine"])
    assert done.code == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stderr + done.stdout)
    assert pq.read_table("out/results.parquet")["error"].to_pylist() == ["[2J ]0;owned one two", None]


@pytest.mark.parametrize("retry_after", ["-5", "nan", "soon"])
def test_an_invalid_retry_after_does_not_block_a_row(retry_after: str, batchrun: Any) -> None:
    """`Retry-After` is honoured only if its value is plausible."""
    refused: list[str] = []

    async def behave(visit: Visit) -> None:
        while True:
            prompt = prompt_of(await visit.request())
            if not refused:
                refused.append(prompt)
                await visit.say(answer(b"slow down", "429 No", f"Retry-After: {retry_after}"))
            else:
                await visit.say(answer(completion(prompt)))

    assert run_on(RawServer(behave), batchrun, ["a", "b"]).code == 0


def test_half_open_connections_do_not_delay_the_end(batchrun: Any) -> None:
    """The run does not wait for a server that never closes its connections."""

    async def behave(visit: Visit) -> None:
        prompt = prompt_of(await visit.request())
        await visit.say(answer(completion(prompt), "200 OK", "Connection: close"))
        await asyncio.sleep(30)

    assert run_on(RawServer(behave), batchrun, ["a", "b", "c"]).code == 0


@pytest.mark.parametrize("key", ["", "a-key-that-is-one"])
def test_the_message_about_a_failing_server_mentions_a_missing_key(
    key: str, batchrun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM only answers 500 then. A missing key is not an error, because local servers may need none."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    broken = answer(b"Internal Server Error", "500 Internal Server Error")
    done = run_on(server_that(says(broken, stays_open=True)), batchrun, ["bad"] * 20, "--patience", "1s")
    assert done.code == 5
    assert ("no key is sent: OPENAI_API_KEY is not set" in done.stderr) == (not key)
