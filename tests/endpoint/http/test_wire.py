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
from packaging.requirements import Requirement
from packaging.version import Version
from yarl import URL

from batchrun.endpoint.http.receiver import Receiver
from batchrun.endpoint.http.wire import Connector

CALLED = [
    (aiohttp.TCPConnector.__init__, {"limit", "ttl_dns_cache"}),
    (aiohttp.ClientRequest.__init__, {"method", "url", "loop", "proxy"}),
    (aiohttp.ClientTimeout.__init__, {"total", "sock_connect"}),
]
"""Functions → the parameters that are given to them."""

SIGNATURES = [
    (aiohttp.TCPConnector.connect, ["self", "req", "traces", "timeout"]),
    (ResponseHandler.__init__, ["self", "loop"]),
    (ResponseHandler.data_received, ["self", "data"]),
    (ResponseHandler.connection_lost, ["self", "exc"]),
    (ResponseHandler.force_close, ["self"]),
    (Connection.close, ["self"]),
    (Connection.release, ["self"]),
    (ResponseHandler.is_connected, ["self"]),
]
"""Methods → all their parameters: `Receiver` overrides some of them, so it must take the same."""

ATTRIBUTES = [
    (Connection, {"protocol"}),
    (ResponseHandler, {"should_close", "transport", "_loop"}),
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


def test_a_connector_makes_a_receiver_for_each_connection() -> None:
    """By an attribute that has to be there before it is replaced."""

    async def protocol_of(connector: aiohttp.TCPConnector) -> Any:
        async with connector:
            return connector._factory()

    async def protocols() -> tuple[Any, Any]:
        return await protocol_of(aiohttp.TCPConnector()), await protocol_of(Connector(kept_s=1, limit=1))

    theirs, ours = asyncio.run(protocols())
    assert (type(theirs), type(ours)) == (ResponseHandler, Receiver)


def test_a_connector_knows_who_waits_for_a_connection() -> None:
    """A connection that is kept would not be theirs."""

    async def waiters() -> Any:
        async with aiohttp.TCPConnector() as connector:
            return connector._waiters

    assert not asyncio.run(waiters())


def test_a_new_connection_keeps_what_arrives_before_the_first_request() -> None:
    """In an attribute that the receiver reads when it begins."""

    async def kept() -> Any:
        handler = ResponseHandler(asyncio.get_running_loop())
        handler.data_received(b"early")
        return handler._tail

    assert asyncio.run(kept()) == b"early"


def test_only_the_minor_version_of_aiohttp_that_was_tested_may_be_installed() -> None:
    """The pin excludes the next minor version: raise it when these tests pass with the new one."""
    project = tomllib.loads(Path(__file__).parents[3].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pin,) = [each for each in map(Requirement, project["dependencies"]) if each.name == "aiohttp"]
    installed = Version(version("aiohttp"))
    assert installed in pin.specifier
    assert Version(f"{installed.major}.{installed.minor + 1}.0") not in pin.specifier
