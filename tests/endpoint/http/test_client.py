"""One attempt over a real socket: what is sent, and what becomes of everything that can come back."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from batchrun.endpoint.http import body as body_module
from batchrun.endpoint.http import client as client_module
from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.key import Secret
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply
from batchrun.simulator import Settings, serve

KEY = "canary-key-8d1f"
ANSWER = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}]}'
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'

Writer = asyncio.StreamWriter
Answer = Callable[[Writer], Awaitable[None]]


def response(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    named = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class Server:
    """Answers every request in one way, and remembers what it was sent."""

    def __init__(self, answer: bytes | Answer) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")[:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((first, headers, body))
                if isinstance(self._answer, bytes):
                    writer.write(self._answer)
                    await writer.drain()
                else:
                    await self._answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the test is over, or the client is gone
        finally:
            writer.close()


@asynccontextmanager
async def connected(server: Server, **settings: Any) -> AsyncIterator[HttpClient]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with opened(f"http://127.0.0.1:{port}/v1", **settings) as client:
            yield client


def opened(base_url: str, key: str | None = KEY, **settings: Any) -> HttpClient:
    settings = {"connections": 4, "timeout_s": 5.0, "connect_timeout_s": 2.0, "user_agent": "batchrun/test"} | settings
    project = settings.pop("project", "team/project")
    return HttpClient(base_url, Secret(key) if key else None, project, **settings)


def send(answer: bytes | Answer, **settings: Any) -> Reply | Fault:
    """Return what one attempt comes to; of everything that comes back, nothing may contain the key."""

    async def main() -> Reply | Fault:
        async with connected(Server(answer), **settings) as client:
            return await client.send(BODY)

    result = asyncio.run(main())
    assert KEY not in repr(result)
    return result


def fault(result: Reply | Fault) -> tuple[str, str]:
    assert isinstance(result, Fault), result
    return result.kind, result.message


def test_a_request_is_sent_as_the_endpoint_expects_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Key, project, JSON, and no compression; whatever the environment and `~/.netrc` hold for that host."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\ndefault login c password d\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    server = Server(response(ANSWER))

    async def main() -> None:
        async with connected(server) as client:
            assert await client.send(BODY) == Reply(200, {}, ANSWER, pytest.approx(0, abs=2))
            assert isinstance(await client.models(), Reply)
        async with connected(server, key=None, project=None) as client:
            await client.send(BODY)

    asyncio.run(main())
    (line, headers, body), (models, _, _), (_, bare, _) = server.requests
    assert (line, body) == ("POST /v1/chat/completions HTTP/1.1", BODY)
    assert models == "GET /v1/models HTTP/1.1"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["openai-project"] == "team/project"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "batchrun/test"
    assert headers["accept-encoding"] == "identity"
    assert "authorization" not in bare
    assert "openai-project" not in bare


def test_one_connection_serves_one_request_after_the_other() -> None:
    """Also where answers are streamed: nobody opens a connection for each."""
    stream = b'data: {"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'

    async def chunked(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%s\r\n" % (len(stream), stream))
        await writer.drain()
        await asyncio.sleep(0.02)  # the end comes in a packet of its own
        writer.write(b"0\r\n\r\n")

    for answer in (response(ANSWER), chunked):
        server = Server(answer)

        async def main(server: Server = server) -> None:
            async with connected(server) as client:
                for _ in range(5):
                    assert judge(await client.send(BODY)).kind is None

        asyncio.run(main())
        assert (server.connections, len(server.requests)) == (1, 5)


def test_a_stream_that_is_not_closed_after_done_holds_nobody_up() -> None:
    """What follows `[DONE]` is waited for a moment only."""

    async def lingers(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.write(b'data: {"choices": [{"delta": {"content": "ok"}}]}\n\ndata: [DONE]\n\n')
        await writer.drain()
        await asyncio.sleep(3)

    result = send(lingers)
    assert judge(result).kind is None
    assert result.latency_s < 1


REPLIES = [
    (response(ANSWER), 200, None),
    (response(ANSWER, Content_Length="", Connection="close") + b"", 200, None),
    (response(gzip.compress(ANSWER), Content_Encoding="gzip"), 200, None),
    (response(b"<html>hello</html>", Content_Type="text/html"), 200, "bad_reply"),
    (response(b"", Content_Type=""), 200, "bad_reply"),
    (response(b"<html>Bad Gateway</html>", "502 Bad Gateway", Content_Type="text/html"), 502, "overloaded"),
    (response(b"", "307 Temporary Redirect", Location="https://elsewhere.example/"), 307, "forbidden"),
    (response(b'{"error": "no"}', "999 Odd"), 999, "server_error"),
]


@pytest.mark.parametrize(("raw", "status", "kind"), REPLIES)
def test_whatever_is_http_is_a_reply(raw: bytes, status: int, kind: str | None) -> None:
    """Errors, HTML, redirects and compressed answers are for the verdict to judge; a redirect is not followed."""

    async def answer(writer: Writer) -> None:
        writer.write(raw)
        await writer.drain()
        if b"Connection: close" in raw:
            writer.close()

    result = send(answer)
    assert isinstance(result, Reply)
    assert (result.status, judge(result).kind) == (status, kind)


def test_of_an_error_the_headers_are_kept_that_verdicts_and_retries_read() -> None:
    """And no others: there may be cookies among them."""
    raw = response(b"{}", "429 Too Many", Retry_After="7", Retry_After_Ms="5", Set_Cookie="a=b", Location="x", X_A="b")
    result = send(raw)
    assert isinstance(result, Reply)
    assert result.headers == {"retry-after": "7", "retry-after-ms": "5", "location": "x"}


async def _closes(writer: Writer) -> None:
    writer.close()


async def _resets(writer: Writer) -> None:
    writer.transport.abort()


async def _cuts(writer: Writer) -> None:
    writer.write(response(ANSWER, Content_Length="5000"))
    await writer.drain()
    writer.close()


async def _cuts_a_chunk(writer: Writer) -> None:
    writer.write(response(b"ff\r\n{", Content_Length="", Transfer_Encoding="chunked"))
    await writer.drain()
    writer.close()


async def _is_silent(writer: Writer) -> None:
    await asyncio.sleep(60)


async def _dribbles(writer: Writer) -> None:
    writer.write(response(b"{", Content_Length="5000"))
    while True:
        await asyncio.sleep(0.02)
        writer.write(b" ")
        await writer.drain()


async def _breaks_a_stream_off(writer: Writer) -> None:
    writer.write(
        response(
            b'data: {"choices": [{"delta": {"content": "o"}}]}\n\n', Content_Type="text/event-stream", Content_Length=""
        )
    )
    await writer.drain()
    writer.close()


FAULTS = [
    (_closes, "connection", "the server closed the connection without an answer"),
    (_resets, "connection", "the connection broke: Connection reset by peer|the server closed the connection"),
    (_cuts, "connection", "the connection was cut in the middle of the answer"),
    (_cuts_a_chunk, "connection", "the connection was cut in the middle of the answer"),
    (_is_silent, "timeout", "no answer in time"),
    (_dribbles, "timeout", "no answer in time"),
    (_breaks_a_stream_off, "bad_reply", "the stream of the answer broke off"),
    (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad_reply", "the answer is not HTTP, or its headers are too long"),
    (
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        "bad_reply",
        "the answer is not HTTP, or its headers are too long",
    ),
    (response(b"not gzip at all", Content_Encoding="gzip"), "connection", "the connection was cut"),
]


@pytest.mark.parametrize(("answer", "kind", "message"), FAULTS)
def test_whatever_is_not_is_a_fault_that_says_what_went_wrong(answer: bytes | Answer, kind: str, message: str) -> None:
    """In words for people, and without the request's headers: the key is among them."""
    result = send(answer, timeout_s=0.3)
    found, text = fault(result)
    assert found == kind
    assert any(text.startswith(each) for each in message.split("|")), text
    assert result.latency_s < 3
    assert isinstance(result, Fault)
    assert result.was_sent


NOWHERE = [
    ("http://127.0.0.1:1/v1", "no connection: "),
    ("http://name.invalid/v1", "the host's name cannot be looked up"),
]


@pytest.mark.parametrize(("base_url", "message"), NOWHERE)
def test_where_there_is_no_connection_nothing_was_sent(base_url: str, message: str) -> None:
    """So nothing can have been billed."""

    async def main() -> Reply | Fault:
        async with opened(base_url) as client:
            return await client.send(BODY)

    result = asyncio.run(main())
    kind, text = fault(result)
    assert kind == "connection"
    assert text.startswith(message)
    assert KEY not in repr(result)
    assert isinstance(result, Fault)
    assert not result.was_sent


def test_https_to_a_server_that_speaks_none_is_a_fault_of_the_connection() -> None:
    """A wrong scheme in the base URL is told as what it is."""

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(response(ANSWER, "400 Bad Request"))
        writer.close()

    async def main() -> Reply | Fault:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            async with opened(f"https://127.0.0.1:{port}/v1") as client:
                return await client.send(BODY)

    kind, message = fault(asyncio.run(main()))
    assert kind == "connection"
    assert message.startswith("no secure connection")


def _endless(head: bytes) -> Answer:
    async def answer(writer: Writer) -> None:
        writer.write(head)
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
HUGE = [
    _endless(CHUNKED % b"application/json"),
    _endless(CHUNKED % b"text/event-stream"),
    response(b"", Content_Length=str(10**9)),
    response(gzip.compress(b" " * (8 << 20)), Content_Encoding="gzip"),
]


@pytest.mark.parametrize("answer", HUGE, ids=["endless", "endless stream", "a gigabyte", "a bomb"])
def test_an_answer_that_is_too_long_is_given_up_without_filling_the_memory(
    answer: bytes | Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of its row, whether the length was stated, is not, or shows when it is unpacked."""
    monkeypatch.setattr(body_module, "MAX_ANSWER_BYTES", 4 << 20)
    tracemalloc.start()
    try:
        result = send(answer)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fault(result) == ("too_large", "the answer is longer than 64 MiB")
    assert peak_bytes < 24 << 20


def test_a_stream_of_the_simulator_is_one_chat_completion() -> None:
    """With text, reason to finish and usage, as if it had not been streamed."""

    async def main() -> Reply | Fault:
        async with serve(Settings(latency_s=0.0)) as server, opened(server.base_url) as client:
            body = {"model": "meta-llama/Llama-3.1-8B-Instruct", "messages": [{"role": "user", "content": "hello"}]}
            return await client.send(orjson.dumps(body | {"stream": True, "stream_options": {"include_usage": True}}))

    result = asyncio.run(main())
    assert isinstance(result, Reply)
    assert judge(result).kind is None
    assert judge(result).usage.total_tokens
    assert orjson.loads(result.body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("marker", ["cut", "cut_body", "no_done", "silence", "html", "500", "429", "401", "503", "404"])
def test_every_fault_of_the_simulator_has_a_verdict_and_none_shows_the_key(marker: str) -> None:
    """Cut, silent, broken or refused: over a real socket each comes to one reply or fault."""

    async def main() -> Reply | Fault:
        async with serve(Settings(latency_s=0.0)) as server, opened(server.base_url, timeout_s=0.3) as client:
            prompt = f"[[simulate: {marker}]]"
            body = {"model": "meta-llama/Llama-3.1-8B-Instruct", "messages": [{"role": "user", "content": prompt}]}
            return await client.send(orjson.dumps(body | {"stream": marker in ("cut", "no_done")}))

    result = asyncio.run(main())
    verdict = judge(result)
    assert verdict.kind is not None
    assert KEY not in repr(result)
    assert KEY not in repr(verdict)


EVENT = b'data: {"choices": [{"delta": {"content": "o"}}]}\n\n'
LAST_EVENT = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def _streaming(pieces: int, every_s: float, last: bytes = b"") -> Answer:
    """Answer in so many pieces; then with the end, or with silence."""

    async def answer(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for _ in range(pieces):
            writer.write(EVENT)
            await writer.drain()
            await asyncio.sleep(every_s)
        if last:
            writer.write(last)
            writer.close()
        else:
            await asyncio.sleep(60)

    return answer


def test_a_stream_may_go_on_for_longer_than_the_timeout() -> None:
    """As long as it goes on: a reasoning model may think for an hour."""

    async def main() -> Reply | Fault:
        async with connected(Server(_streaming(8, 0.1, LAST_EVENT)), timeout_s=0.6) as client:
            return await client.send(BODY)

    result = asyncio.run(main())
    assert isinstance(result, Reply)
    assert result.latency_s > 0.6
    assert orjson.loads(result.body)["choices"][0]["message"]["content"] == "oooooooo"


@pytest.mark.parametrize(("pieces", "every_s"), [(2, 0.0), (10_000, 0.01)], ids=["falls silent", "drips for ever"])
def test_a_stream_that_falls_silent_or_never_ends_is_a_timeout(
    pieces: int, every_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row is held for ever: not by silence, and not by a byte now and then."""
    monkeypatch.setattr(client_module, "_STREAM_TIMES", 3)

    async def main() -> Reply | Fault:
        async with connected(Server(_streaming(pieces, every_s)), timeout_s=0.2) as client:
            return await client.send(BODY)

    result = asyncio.run(asyncio.wait_for(main(), 10))
    assert isinstance(result, Fault)
    assert (result.kind, result.message) == ("timeout", "no answer in time")
    assert result.latency_s >= (0.2 if every_s == 0 else 0.4)


def test_an_answer_in_one_piece_has_no_more_time_for_coming_in_pieces() -> None:
    """Only a stream says that it will take long."""

    async def answer(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def main() -> Reply | Fault:
        async with connected(Server(answer), timeout_s=0.2) as client:
            return await client.send(BODY)

    result = asyncio.run(asyncio.wait_for(main(), 10))
    assert isinstance(result, Fault)
    assert result.kind == "timeout"
