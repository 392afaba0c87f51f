"""The parts of aiohttp that the wire leans on, most of them not public: a new version may change any of them."""

import asyncio
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from packaging.requirements import Requirement
from packaging.version import Version
from yarl import URL

CALLED = [
    (aiohttp.TCPConnector.__init__, {"limit", "keepalive_timeout", "ttl_dns_cache"}),
    (aiohttp.ClientRequest.__init__, {"method", "url", "loop", "proxy"}),
    (aiohttp.ClientTimeout.__init__, {"total", "sock_connect"}),
    (
        ResponseHandler.set_response_params,
        {"read_until_eof", "auto_decompress", "read_bufsize", "max_line_size", "max_field_size", "max_headers"},
    ),
]
"""Functions → the parameters that are given to them."""

SIGNATURES = [
    (aiohttp.TCPConnector.connect, ["self", "req", "traces", "timeout"]),
    (ResponseHandler.read, ["self"]),
    (ResponseHandler.__len__, ["self"]),
    (Connection.close, ["self"]),
    (Connection.release, ["self"]),
    (aiohttp.StreamReader._read_nowait, ["self", "n"]),
    (aiohttp.StreamReader.readany, ["self"]),
    (aiohttp.StreamReader.iter_any, ["self"]),
    (aiohttp.StreamReader.at_eof, ["self"]),
]
"""Methods → all their parameters: `Connector` overrides the first, so it must take the same."""

ATTRIBUTES = [
    (Connection, {"protocol", "transport"}),
    (ResponseHandler, {"_parser"}),
    (RawResponseMessage, {"code", "headers"}),
    (aiohttp.ClientConnectorError, {"os_error"}),
    (aiohttp.ClientConnectorCertificateError, {"certificate_error"}),
]
"""Classes → the attributes that are read."""

ERRORS = [
    (aiohttp.ConnectionTimeoutError, TimeoutError),
    (aiohttp.ClientConnectorCertificateError, aiohttp.ClientError),
    (aiohttp.ClientConnectorDNSError, aiohttp.ClientConnectorError),
    (aiohttp.ClientSSLError, aiohttp.ClientError),
    (aiohttp.ServerDisconnectedError, aiohttp.ClientError),
    (aiohttp.ClientPayloadError, aiohttp.ClientError),
    (aiohttp.ClientOSError, OSError),
    (aiohttp.ClientHttpProxyError, aiohttp.ClientError),
    (HttpProcessingError, Exception),
]
"""Errors that are caught → the class under which they are caught."""


@pytest.mark.parametrize(("function", "parameters"), CALLED, ids=lambda each: getattr(each, "__qualname__", ""))
def test_a_function_of_aiohttp_takes_the_parameters_that_it_is_given(function: Any, parameters: set[str]) -> None:
    """By name."""
    assert parameters <= inspect.signature(function).parameters.keys()


@pytest.mark.parametrize(("method", "parameters"), SIGNATURES, ids=lambda each: getattr(each, "__qualname__", ""))
def test_a_method_of_aiohttp_has_the_signature_that_it_is_called_with(method: Any, parameters: list[str]) -> None:
    """No parameter more, and none under another name."""
    assert list(inspect.signature(method).parameters) == parameters


@pytest.mark.parametrize(("kind", "attributes"), ATTRIBUTES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_class_of_aiohttp_has_the_attributes_that_are_read(kind: type, attributes: set[str]) -> None:
    """Public or not."""
    assert attributes <= set(dir(kind))


@pytest.mark.parametrize(("error", "caught_as"), ERRORS, ids=lambda each: each.__name__)
def test_an_error_of_aiohttp_is_caught_where_it_is_expected(error: type, caught_as: type) -> None:
    """One that moved in the tree would end the run instead of one attempt."""
    assert issubclass(error, caught_as)


def test_a_request_that_is_never_sent_names_its_host_as_a_header() -> None:
    """With the port, unless it is the scheme's own; without credentials of a proxy until the connector adds them."""

    async def headers_of(url: str) -> Any:
        return aiohttp.ClientRequest("POST", URL(url), loop=asyncio.get_running_loop(), proxy=None).headers

    headers = asyncio.run(headers_of("http://127.0.0.1:8080/v1"))
    assert headers["Host"] == "127.0.0.1:8080"
    assert "Proxy-Authorization" not in headers
    assert asyncio.run(headers_of("https://api.example/v1"))["Host"] == "api.example"


def test_a_connection_has_no_parser_before_its_first_answer() -> None:
    """This shows whether it was used before."""

    async def parser_of() -> Any:
        return ResponseHandler(asyncio.get_running_loop())._parser

    assert asyncio.run(parser_of()) is None
    assert isinstance(aiohttp.ServerDisconnectedError().message, str)


def test_only_the_minor_version_of_aiohttp_that_was_tested_may_be_installed() -> None:
    """The pin excludes the next minor version: raise it when these tests pass with the new one."""
    project = tomllib.loads(Path(__file__).parents[3].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pin,) = [each for each in map(Requirement, project["dependencies"]) if each.name == "aiohttp"]
    installed = Version(version("aiohttp"))
    assert installed in pin.specifier
    assert Version(f"{installed.major}.{installed.minor + 1}.0") not in pin.specifier
