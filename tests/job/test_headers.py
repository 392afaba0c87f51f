"""The headers and the query of an endpoint are checked; no secret can stand in a job."""

from typing import Any

import pytest

from batchrun.job.endpoint import Endpoint
from batchrun.job.settings import SettingError

URL = "https://host/v1"
SECRET = "sk-aaaabbbbccccddddeeee1234"


def test_plain_and_secret_headers_are_distinguished() -> None:
    endpoint = Endpoint(base_url=URL, headers={"X-Title": "my job", "api-key": {"env": "AZURE_KEY"}})
    assert endpoint.plain_headers == {"X-Title": "my job"}
    assert endpoint.secret_headers == {"api-key": "AZURE_KEY"}


def test_a_secret_header_takes_the_place_of_the_key() -> None:
    """Unless the job names the variable of a key."""
    headers: Any = {"api-key": {"env": "AZURE_KEY"}}
    assert not Endpoint(base_url=URL, headers=headers).takes_key
    assert Endpoint(base_url=URL, headers=headers, api_key_env="K").takes_key
    assert Endpoint(base_url=URL, headers={"X-Title": "t"}).takes_key


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Authorization", f"Bearer {SECRET}", r'must be \{env = "VARIABLE"\}'),
        ("x-api-key", SECRET, r'must be \{env = "VARIABLE"\}'),
        ("Helicone-Auth", SECRET, r'must be \{env = "VARIABLE"\}'),
        ("api-key", {"env": SECRET}, r'must be a text, or \{env = "VARIABLE"\}'),
        ("api-key", {"value": SECRET}, r'must be a text, or \{env = "VARIABLE"\}'),
        ("Content-Length", "5", "cannot be set: this header is made for each request"),
        ("OpenAI-Project", "t/p", "cannot be set: use project"),
        ("bad name", "x", "must have the name of an HTTP header"),
        ("X-Title", "a\r\nEvil: b", "without line breaks"),
        ("X-Title", 5, "must be a non-empty string"),
    ],
)
def test_a_wrong_header_is_refused(name: str, value: Any, message: str) -> None:
    """The message never repeats what may be a secret."""
    with pytest.raises(SettingError, match=message) as problem:
        Endpoint(base_url=URL, headers={name: value})
    assert problem.value.key == f'headers."{name}"'
    assert SECRET not in str(problem.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"key": SECRET}, "a URL does not hide a secret"),
        ({"api-version": True}, "must be a text or a number"),
        ({"": "x"}, "must have a name"),
    ],
)
def test_a_wrong_query_is_refused(query: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message) as problem:
        Endpoint(base_url=URL, query=query)
    assert SECRET not in str(problem.value)


def test_a_query_is_of_texts() -> None:
    assert Endpoint(base_url=URL, query={"api-version": "preview", "n": 2}).query == {
        "api-version": "preview",
        "n": "2",
    }


def test_a_key_in_two_places_is_refused() -> None:
    """Both would be the header Authorization."""
    with pytest.raises(SettingError, match=r"must not be set together with headers\.Authorization"):
        Endpoint(base_url=URL, api_key_env="K", headers={"authorization": {"env": "H"}})
