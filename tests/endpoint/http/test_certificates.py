"""A server whose certificate is not accepted gets no key."""

import shutil
import ssl
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from harness.hostile import ask, opened, run
from harness.raw_servers import RawServer, echo

from batchrun.endpoint.diagnosis import other_scheme
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply

_AUTHORITY = """
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = optional
"""


def certificate(folder: Path, name: str, ends: date | None = None) -> ssl.SSLContext:
    """Return the server's TLS context, with a self-signed certificate that ends tomorrow or at the given time."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    (folder / "ca.cnf").write_text(_AUTHORITY)
    (folder / "index.txt").write_text("")
    ends = ends or datetime.now(UTC).date() + timedelta(days=1)
    times = ["-startdate", f"{ends - timedelta(days=2):%Y%m%d}000000Z", "-enddate", f"{ends:%Y%m%d}235959Z"]
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem"]
    for command in (
        ["req", "-new", *new_key, "-subj", "/CN=test", "-addext", f"subjectAltName={name}", "-out", "request.pem"],
        ["ca", "-batch", "-selfsign", "-config", "ca.cnf", "-keyfile", "key.pem", "-in", "request.pem", *times,
         "-notext", "-out", "cert.pem"],
    ):  # fmt: skip
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def trusting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client trust this certificate in addition to the system's."""
    context = ssl.create_default_context(cafile=folder / "cert.pem")
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", context)


def test_http_to_a_server_of_https_is_a_connection_that_closes_and_https_is_found(tmp_path: Path) -> None:
    """Also where its certificate is not accepted: that is another problem, with a message of its own."""

    async def main() -> tuple[Reply | Fault, str]:
        async with RawServer(echo).listening(certificate(tmp_path, "IP:127.0.0.1")) as https:
            http = https.replace("https:", "http:")
            async with opened(http, timeout_s=5) as client:
                return await client.send(ask("one")), (await other_scheme(http)).replace(https, "URL")

    result, found = run(main())
    assert isinstance(result, Fault)
    assert result.kind == "connection"
    assert found == "URL answers: use --base-url URL"


def test_a_self_signed_certificate_gets_no_key(tmp_path: Path) -> None:
    """No request is sent, and the message says what is wrong."""
    server = RawServer(echo)

    async def main() -> Reply | Fault:
        tls = certificate(tmp_path, "IP:127.0.0.1")
        async with server.listening(tls) as base_url, opened(base_url, timeout_s=5) as client:
            return await client.send(ask("one"))

    result = run(main())
    assert isinstance(result, Fault)
    assert (result.kind, result.was_sent) == ("connection", False)
    assert "certificate is not accepted: self-signed certificate" in result.message
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "ends", "wrong"),
    [
        ("IP:127.0.0.1", None, None),
        ("DNS:other.example", None, "IP address mismatch"),
        ("IP:127.0.0.1", date(2020, 1, 1), "certificate has expired"),
    ],
)
def test_a_certificate_of_another_host_or_another_time_gets_no_key(
    name: str, ends: date | None, wrong: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if it is trusted; with the right name and time the same certificate is accepted."""
    server = RawServer(echo)

    async def main() -> Reply | Fault:
        tls = certificate(tmp_path, name, ends)
        trusting(tmp_path, monkeypatch)
        async with server.listening(tls) as base_url, opened(base_url, timeout_s=5) as client:
            return await client.send(ask("one"))

    verdict = judge(run(main()))
    assert verdict.kind == (wrong and "connection")
    assert (wrong or "") in verdict.message
    assert len(server.requests) == (wrong is None)
