"""The key goes to the endpoint only, and no reply shows it."""

import gzip

import pytest
from harness.hostile import KEY, STREAM, ask, chunk, opened, packed, reply_of, run, says
from harness.raw_servers import RawServer, Visit, answer, completion, echo

from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
def test_a_redirect_is_not_followed_so_the_key_goes_nowhere_else(status: int) -> None:
    """Neither to another host nor to another path of the same host."""
    other = RawServer(echo)

    async def main() -> list[Reply | Fault]:
        async with other.listening() as elsewhere:
            places = (elsewhere, elsewhere.removeprefix("http:"), "/v2/chat/completions")
            redirects = iter([answer(b"", f"{status} Go", f"Location: {place}") for place in places])

            async def behave(visit: Visit) -> None:
                await visit.request()
                await visit.say(next(redirects))

            server = RawServer(behave)
            async with server.listening() as base_url, opened(base_url) as client:
                results = [await reply_of(client, "one") for _ in places]
            assert len(server.requests) == len(places)
            return results

    assert {judge(result).kind for result in run(main())} == {"forbidden"}
    assert other.connections == 0


def test_cookies_are_neither_kept_nor_sent_back() -> None:
    """A server cannot connect one request with the next."""

    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.say(answer(completion("x"), "200 OK", "Set-Cookie: session=1; Path=/"))

    server = RawServer(behave)

    async def main() -> None:
        async with server.listening() as base_url, opened(base_url) as client:
            for _ in range(2):
                await client.send(ask("one"))

    run(main())
    assert not any(b"cookie" in each.lower() for each in server.requests)


PROXY_STATUSES = [
    (407, "forbidden"),
    (403, "forbidden"),
    (502, "connection"),
    (503, "connection"),
    (500, "connection"),
]


@pytest.mark.parametrize(("status", "kind"), PROXY_STATUSES)
def test_a_proxy_is_asked_to_connect_and_does_not_see_the_key(
    status: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key goes only to the endpoint, inside TLS. A proxy that fails to connect is not an answer of the endpoint."""
    proxy = RawServer(says(answer(b"", f"{status} No")))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def main() -> Reply | Fault:
        async with proxy.listening() as url:
            monkeypatch.setenv("https_proxy", url.removesuffix("/v1"))
            async with opened("https://api.example/v1") as client:
                return await client.send(ask("one"))

    result = run(main())
    verdict = judge(result)
    fails = f"the proxy cannot connect to the endpoint (HTTP {status})"
    assert (verdict.kind, verdict.message) == (
        kind,
        "the proxy refuses to connect to the endpoint" if status < 500 else fails,
    )
    assert isinstance(result, Reply) == (status < 500)
    assert isinstance(result, Reply) or not result.was_sent
    [connect] = proxy.requests
    assert connect.startswith(b"CONNECT api.example:443 HTTP/1.1\r\n")
    assert KEY.encode() not in connect
    assert b"authorization" not in connect.lower()


ECHOES = [
    answer(b'{"error": {"message": "Incorrect API key provided: %s."}}' % KEY.encode(), "401 No"),
    answer(b"Authorization: Bearer %s" % KEY.encode(), "500 No", "Content-Type: text/plain"),
    answer(b'{"headers": {"authorization": "Bearer %s"}}' % KEY.encode()),
    answer(completion(f"Your key is {KEY}.")),
    answer(b"", "307 Go", f"Location: http://{KEY}.example/?key={KEY}", f"Retry-After: {KEY}"),
    answer(b"", f"500 {KEY}", f"X-Api-Key: {KEY}", f"Set-Cookie: key={KEY}"),
    packed(gzip.compress(completion(KEY)), "gzip"),
    STREAM
    + chunk(b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % KEY[:9].encode())
    + chunk(b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % KEY[9:].encode())
    + chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n",
    f"HTTP/1.1 200 {KEY}\r\nBroken {KEY}\r\n\r\n".encode(),
]


@pytest.mark.parametrize("raw", ECHOES)
def test_a_key_that_a_server_repeats_is_hidden(raw: bytes) -> None:
    """In errors, answers and headers; plain, compressed or streamed."""

    async def main() -> Reply | Fault:
        async with RawServer(says(raw)).listening() as base_url, opened(base_url) as client:
            return await client.send(ask("one"))

    result = run(main())
    assert KEY not in repr(result) + repr(judge(result))
