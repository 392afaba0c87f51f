"""One attempt over a real socket: what is sent, and how each kind of answer ends."""

import asyncio
import gzip
from typing import Any

import orjson
import pytest
from harness.attempts import ANSWER, BODY, KEY, Answer, Server, Writer, connected, fault, opened, response, send

from batchrun import __version__
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply, Usage
from batchrun.simulator import Settings, serve


def test_a_request_is_sent_as_the_endpoint_expects_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """With key, project and JSON, without compression, whatever the environment and `~/.netrc` hold for that host."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\ndefault login c password d\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    server = Server(response(ANSWER))

    async def main() -> None:
        async with connected(server) as client:
            assert await client.send(BODY) == Reply(200, {}, ANSWER, pytest.approx(0, abs=2), Usage())
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
    assert headers["user-agent"] == f"batchrun/{__version__}"
    assert headers["accept-encoding"] == "identity"
    assert "authorization" not in bare
    assert "openai-project" not in bare


def test_one_connection_serves_one_request_after_the_other() -> None:
    """Also for streamed answers: not every request opens a connection."""
    stream = b'data: {"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'

    async def chunked(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%s\r\n" % (len(stream), stream))
        await writer.drain()
        await asyncio.sleep(0.02)  # the end comes in a separate packet
        writer.write(b"0\r\n\r\n")

    for answer in (response(ANSWER), chunked):
        server = Server(answer)

        async def main(server: Server = server) -> None:
            async with connected(server) as client:
                for _ in range(5):
                    assert judge(await client.send(BODY)).kind is None

        asyncio.run(main())
        assert (server.connections, len(server.requests)) == (1, 5)


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
def test_every_http_answer_is_a_reply(raw: bytes, status: int, kind: str | None) -> None:
    """The verdict judges errors, HTML, redirects and compressed answers; redirects are not followed."""

    async def answer(writer: Writer) -> None:
        writer.write(raw)
        await writer.drain()
        if b"Connection: close" in raw:
            writer.close()

    result = send(answer)
    assert isinstance(result, Reply)
    assert (result.status, judge(result).kind) == (status, kind)


def test_an_error_keeps_only_the_headers_that_verdicts_and_retries_read() -> None:
    """Other headers may be cookies."""
    raw = response(b"{}", "429 Too Many", Retry_After="7", Retry_After_Ms="5", Set_Cookie="a=b", Location="x", X_A="b")
    result = send(raw)
    assert isinstance(result, Reply)
    assert result.headers == {"retry-after": "7", "retry-after-ms": "5", "location": "x"}


async def _closes(writer: Writer) -> None:
    writer.close()


async def _resets(writer: Writer) -> None:
    writer.transport.abort()


async def _cuts(writer: Writer) -> None:
    writer.write(response(ANSWER[:-5], Content_Length="5000"))
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
    (
        response(gzip.compress(b"x" * 99)[:-20] + bytes(20), Content_Encoding="gzip"),
        "connection",
        "the connection was cut",
    ),
]


@pytest.mark.parametrize(("answer", "kind", "message"), FAULTS)
def test_everything_else_is_a_fault_that_names_what_went_wrong(answer: bytes | Answer, kind: str, message: str) -> None:
    """Without the request's headers: the key is one of them."""
    result = send(answer, timeout_s=0.3)
    found, text = fault(result)
    assert found == kind
    assert any(text.startswith(each) for each in message.split("|")), text
    assert result.latency_s < 3
    assert isinstance(result, Fault)
    assert result.was_sent


NOWHERE = [
    ("http://127.0.0.1:1/v1", "no connection: Connection refused"),
    ("http://name.invalid/v1", "the host's name cannot be looked up"),
]


@pytest.mark.parametrize(("base_url", "message"), NOWHERE)
def test_without_a_connection_nothing_was_sent(base_url: str, message: str) -> None:
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


def test_https_to_a_server_without_tls_is_a_fault_of_the_connection() -> None:
    """The message names a wrong scheme in the base URL."""

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


def test_a_stream_of_the_simulator_is_one_chat_completion() -> None:
    """With text, finish reason and usage, as if it had not been streamed."""

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
    """Cut, silent, broken or refused: over a real socket each ends as one reply or fault."""

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
