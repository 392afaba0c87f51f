"""A curl command: the key is a variable, long bodies come through a pipe."""

import json
import shlex
import subprocess
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.cli.curl import curl_command, shown_variable
from batchrun.job.endpoint import Endpoint
from batchrun.records import Request

URL = "http://127.0.0.1:8000/v1"
KEY = "sk-0123456789abcdef0123"


def command(body: dict[str, Any], environ: dict[str, str] | None = None, **endpoint: Any) -> str:
    request = Request(0, "m", 0, b"", orjson.dumps(body), None)
    return curl_command(Endpoint(**{"base_url": URL, **endpoint}), request, environ or {})


def test_the_arguments_are_those_of_the_request() -> None:
    shown = command({"a": "it's"}, {"OPENAI_API_KEY": KEY}, project="team/it's")
    words = shlex.split(shown.replace("\\\n", ""))
    assert words == [
        *("curl", "-sS", f"{URL}/chat/completions"),
        *("-H", "Content-Type: application/json"),
        *("-H", "Authorization: Bearer $OPENAI_API_KEY"),
        *("-H", "OpenAI-Project: team/it's"),
        *("--data-binary", '{"a":"it\'s"}'),
    ]


def test_a_stream_is_printed_as_it_arrives() -> None:
    assert "curl -sS -N" in command({"stream": True})


def test_headers_and_query_are_those_of_the_request() -> None:
    """A secret header is there by the name of its variable; no other key is sent then."""
    headers: Any = {"X-Title": "it's mine", "api-key": {"env": "AZURE_KEY"}, "X-Two": {"env": "maybe_a_key"}}
    endpoint = Endpoint(base_url="https://h/v1", headers=headers, query={"api-version": "preview"})
    request = Request(0, "m", 0, b"", b'{"model":"m"}', None)
    command = curl_command(endpoint, request, {"OPENAI_API_KEY": "sk-1", "AZURE_KEY": "azure-1"})
    assert "https://h/v1/chat/completions?api-version=preview" in command
    assert shlex.join(["-H", "X-Title: it's mine"]) in command
    assert '-H "api-key: $AZURE_KEY"' in command
    assert '-H "X-Two: $API_KEY"' in command
    assert not any(word in command for word in ("Authorization", "azure-1", "sk-1", "maybe_a_key"))


@pytest.mark.parametrize("size", [99_000, 101_000])
def test_no_argument_is_longer_than_linux_takes(size: int) -> None:
    shown = command({"a": "x" * size})
    assert shown.startswith("printf %s ") == (size > 100_000)
    assert max(map(len, shlex.split(shown.rpartition("|")[2]))) < 131_072


@pytest.mark.parametrize(
    ("endpoint", "environ", "variable"),
    [
        ({"base_url": URL}, {}, None),
        ({"base_url": URL}, {"OPENAI_API_KEY": KEY}, "OPENAI_API_KEY"),
        ({"base_url": URL, "api_key_env": "MINE"}, {}, "MINE"),
        ({"provider": "wandb"}, {}, "WANDB_API_KEY"),
        ({"base_url": URL, "api_key_env": "mine"}, {"mine": KEY}, "mine"),
        ({"base_url": URL, "api_key_env": KEY}, {}, "API_KEY"),
        ({"base_url": URL, "api_key_env": "abcdef0123456789"}, {}, "API_KEY"),
        ({"base_url": URL, "api_key_env": "a b"}, {"a b": KEY}, "API_KEY"),
    ],
)
def test_the_variable_is_named_unless_its_name_could_be_the_key(
    endpoint: dict[str, Any], environ: dict[str, str], variable: str | None
) -> None:
    assert shown_variable(Endpoint(**endpoint), environ) == variable


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=("Cs",))), st.sampled_from([1, 100_000]))
def test_a_shell_gives_curl_the_body_whatever_is_in_it(text: str, times: int) -> None:
    """Here `curl` is a function that prints its last argument, or what comes through the pipe."""
    body = {"messages": [{"role": "user", "content": text * times if len(text) < 4 else text}]}
    stand_in = 'curl() { for last; do :; done; if [ "$last" = @- ]; then cat; else printf %s "$last"; fi; }'
    done = subprocess.run(["sh"], input=f"{stand_in}\n{command(body)}\n".encode(), capture_output=True, check=True)
    assert json.loads(done.stdout) == body
