"""`batchrun run` against servers that break every rule: it finishes or stops cleanly, each row with its own answer."""

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
"""What a server does with one bad prompt; returns whether the connection goes on."""


def says(data: bytes, *, goes_on: bool = False) -> Reaction:
    async def react(visit: Visit) -> bool:
        await visit.say(data)
        return goes_on

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


def server_that(react: Reaction) -> RawServer:
    """Return one that answers a prompt with itself, unless it is bad."""

    async def behave(visit: Visit) -> None:
        goes_on = True
        while goes_on:
            prompt = prompt_of(await visit.request())
            if prompt == "bad":
                goes_on = await react(visit)
            else:
                await visit.say(answer(completion(prompt)))

    return RawServer(behave)


def run_on(server: RawServer, batchrun: Any, prompts: list[str], *flags: Any) -> Any:
    with server.in_thread() as base_url:
        return batchrun("run", write_prompts(*prompts), "-m", MODEL, "--base-url", base_url, "-o", "out", *flags)


BAD: dict[str, tuple[Reaction, str]] = {
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "bad_reply"),
    "a body that is cut": (says(answer(completion("x"), "200 OK", "Content-Length: 5000")), "connection"),
    "a chunk that is cut": (says(CHUNKED + b"ff\r\n{"), "connection"),
    "a reset": (resets, "connection"),
    "silence": (is_silent, "timeout"),
    "a drip": (drips, "timeout"),
    "HTML": (says(answer(b"<html>Sign in</html>"), goes_on=True), "bad_reply"),
    "nulls": (says(answer(b'{"choices": [null]}'), goes_on=True), "bad_reply"),
    "a bomb": (says(answer(gzip.compress(b" " * (65 << 20), 1), "200 OK", "Content-Encoding: gzip")), "too_large"),
    "a gigabyte": (says(answer(b"", "200 OK", f"Content-Length: {10**9}")), "too_large"),
    "two lengths": (says(answer(b"", "200 OK", "Content-Length: 0", "Content-Length: 5")), "bad_reply"),
    "a status nobody knows": (says(answer(b"{}", "999 Odd"), goes_on=True), "server_error"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_row_that_breaks_the_server_fails_alone(name: str, batchrun: Any) -> None:
    """The others have their own answers, and the run its end."""
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
    "garbage": (says(b"\xff" * 5000), 5),
    "HTML": (says(answer(b"<html>Sign in</html>"), goes_on=True), 5),
    "redirects": (says(answer(b"", "302 Go", "Location: https://login.example/"), goes_on=True), 4),
}


@pytest.mark.parametrize("name", NOTHING_BUT)
def test_an_endpoint_that_never_answers_stops_the_run_and_costs_no_row(name: str, batchrun: Any) -> None:
    """Nothing is written off: the same command goes on when there is somebody who answers."""
    react, code = NOTHING_BUT[name]
    done = run_on(server_that(react), batchrun, ["bad"] * 3, "--patience", "0.3s")
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    assert pq.read_table("out/results.parquet").num_rows == 0


def test_a_server_that_answers_everything_twice_answers_no_row_wrongly(batchrun: Any) -> None:
    """A connection with an answer too many on it is not used again."""

    async def behave(visit: Visit) -> None:
        while True:
            prompt = prompt_of(await visit.request())
            await visit.say(answer(completion(prompt)) * 2)

    prompts = [str(number) for number in range(60)]
    assert run_on(RawServer(behave), batchrun, prompts, "-c", 4).code == 0
    assert pq.read_table("out/results.parquet")["response"].to_pylist() == prompts


def test_words_that_would_steer_the_terminal_are_shown_as_words(batchrun: Any) -> None:
    """A server's message is one line of text, on the screen and in the results."""
    message = '{"error": {"message": "\\u001b[2J\\u001b]0;owned\\u0007 one\\ntwo \\u202e"}}'
    react = says(answer(message.encode(), "400 No"), goes_on=True)
    done = run_on(server_that(react), batchrun, ["bad", "fine"])
    assert done.code == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stderr + done.stdout)
    assert pq.read_table("out/results.parquet")["error"].to_pylist() == ["[2J ]0;owned one two", None]


@pytest.mark.parametrize("retry_after", ["-5", "nan", "soon"])
def test_nonsense_in_a_header_does_not_stop_a_row(retry_after: str, batchrun: Any) -> None:
    """What `Retry-After` asks for is believed as far as it makes sense."""
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


def test_half_open_connections_at_the_end_hold_nobody_up(batchrun: Any) -> None:
    """A server that never closes what it was asked to is left behind."""

    async def behave(visit: Visit) -> None:
        prompt = prompt_of(await visit.request())
        await visit.say(answer(completion(prompt), "200 OK", "Connection: close"))
        await asyncio.sleep(30)

    assert run_on(RawServer(behave), batchrun, ["a", "b", "c"]).code == 0


@pytest.mark.parametrize("key", ["", "a-key-that-is-one"])
def test_a_server_that_breaks_without_a_key_is_told_to_have_got_none(
    key: str, batchrun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM says 500 and no more; a server of one's own may well need no key, so it is asked without."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    broken = answer(b"Internal Server Error", "500 Internal Server Error")
    done = run_on(server_that(says(broken, goes_on=True)), batchrun, ["bad"] * 20, "--patience", "1s")
    assert done.code == 5
    assert ("no key is sent: OPENAI_API_KEY is not set" in done.stderr) == (not key)
