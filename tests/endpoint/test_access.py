"""How an endpoint is reached: its own headers, its query, and secrets in the place of the key."""

import asyncio
from typing import Any

import pytest
from harness.attempts import BODY
from harness.raw_servers import RawServer, Visit, answer, completion

from batchrun.endpoint.access import Access, access_for
from batchrun.endpoint.key import Secret, hide_keys, key_place, key_variable
from batchrun.errors import EndpointRefused
from batchrun.job.endpoint import Endpoint
from batchrun.job.limits import Limits
from batchrun.records import Fault, Reply

URL = "https://x.openai.azure.com/openai/v1"
SECRET = "azure-0123456789abcdef"
HEADERS: Any = {"api-key": {"env": "AZURE_KEY"}, "X-Title": "my job"}
AZURE = Endpoint(base_url=URL, headers=HEADERS, query={"api-version": "preview 1"})


def test_a_secret_header_is_read_from_the_environment_and_no_key_is_needed() -> None:
    """The key of another vendor goes to no server that has its own header."""
    access = access_for(AZURE, {"AZURE_KEY": SECRET, "OPENAI_API_KEY": "sk-of-another-vendor"})
    secret = access.headers["api-key"]
    assert isinstance(secret, Secret)
    assert (secret.reveal(), access.headers["X-Title"], access.key, access.has_key) == (SECRET, "my job", None, True)
    assert SECRET not in repr(access)
    assert hide_keys(f"it was {SECRET}") == "it was ***"


def test_a_key_is_sent_next_to_a_secret_header_where_the_job_names_it() -> None:
    """As a gateway in front of a provider wants it."""
    endpoint = Endpoint(base_url=URL, headers=HEADERS, api_key_env="OPENAI_API_KEY")
    access = access_for(endpoint, {"AZURE_KEY": SECRET, "OPENAI_API_KEY": "sk-1"})
    assert access.key is not None
    assert access.key.reveal() == "sk-1"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AZURE_KEY", "", f"no value for the header api-key of {URL}: AZURE_KEY is not set; export AZURE_KEY=…"),
        (
            "azure0123456789abcdef",
            "",
            f"no value for the header api-key of {URL}: its variable is not set; give the name",
        ),
        ("AZURE_KEY", "a\nb", "the value of AZURE_KEY has a line break or another character"),
    ],
)
def test_a_secret_header_without_a_usable_value_is_refused(variable: str, value: str, message: str) -> None:
    """A name that may be the secret itself is not repeated."""
    headers: Any = {"api-key": {"env": variable}}
    with pytest.raises(EndpointRefused) as problem:
        access_for(Endpoint(base_url=URL, headers=headers), {variable: value})
    assert str(problem.value).startswith(message)
    assert "azure0123456789abcdef" not in str(problem.value)


def test_advice_about_the_key_names_the_variable_of_the_header() -> None:
    assert key_place(AZURE, {}) == key_variable(AZURE) == "AZURE_KEY"


def test_headers_and_query_are_sent_and_secrets_are_hidden_in_replies() -> None:
    """Also the part of a header that is the key itself, without the word before it."""
    secret = f"Bearer {SECRET}"
    server = RawServer(_echo)

    async def main() -> list[Reply | Fault]:
        async with server.listening() as url:
            headers = {"X-Auth": Secret(secret), "X-Title": "my job"}
            access = Access(url, Secret("sk-0123456789abcdef"), None, headers, {"api-version": "preview 1"})
            async with access.client(Limits(), connections=1) as client:
                return [await client.send(BODY), await client.models()]

    sent, models = asyncio.run(main())
    heads = [request.decode() for request in server.requests]
    assert heads[0].startswith("POST /v1/chat/completions?api-version=preview+1 HTTP/1.1\r\n")
    assert heads[1].startswith("GET /v1/models?api-version=preview+1 HTTP/1.1\r\n")
    for head in heads:
        assert f"X-Auth: {secret}\r\n" in head
        assert "X-Title: my job\r\n" in head
        assert "Authorization: Bearer sk-0123456789abcdef\r\n" in head
    for reply in (sent, models):
        assert isinstance(reply, Reply)
        assert b"you sent *** and ***" in reply.body
        assert SECRET not in repr(reply)


async def _echo(visit: Visit) -> None:
    while True:
        await visit.request()
        await visit.say(answer(completion(f"you sent sk-0123456789abcdef and Bearer {SECRET}")))
