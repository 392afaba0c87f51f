"""Credentials for stores of Azure and Google, and the messages without valid credentials."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from harness.finished import Finished
from harness.prompts import write_rows
from real.clouds import ACCOUNT, BUCKET, KEY, KINDS, Cloud, connection_string, running
from real.conftest import Batchrun
from real.environments import Environment

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"


def opened(
    name: str, installed: Callable[[str], Environment], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    with running(KINDS[name], installed(KINDS[name].environment), folder) as address:
        cloud = Cloud(KINDS[name], address)
        cloud.lead_to(monkeypatch)
        cloud.write("a.jsonl", b'{"prompt": "a"}\n')
        yield cloud
        cloud.door.close()


@pytest.fixture
def azure(installed: Callable[[str], Environment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A stand-in for Azure's store."""
    yield from opened("az", installed, tmp_path, monkeypatch)


@pytest.fixture
def google(installed: Callable[[str], Environment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A stand-in for Google's store."""
    yield from opened("gs", installed, tmp_path, monkeypatch)


def signature(key: str) -> str:
    """Return a token for an account. Source: "Create an account SAS", Azure's documentation."""
    fields = {"sp": "rwdlac", "ss": "b", "srt": "sco", "st": "", "se": "2099-01-01T00:00:00Z", "sip": "", "spr": ""}
    text = "\n".join([ACCOUNT, *fields.values(), "2021-06-08", "", ""])
    signed = hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)
    given = {name: value for name, value in fields.items() if value}
    return urlencode(given | {"sv": "2021-06-08", "sig": base64.b64encode(signed).decode()})


def with_token(cloud: Cloud, key: str = KEY) -> str:
    """Return a connection string with a token instead of a key."""
    return f"BlobEndpoint={cloud.door.url}/{ACCOUNT};SharedAccessSignature={signature(key)}"


def refused(done: Finished, url: str, *words: str) -> None:
    """Check that the message is one line with the URL and some words, and without a secret."""
    assert done.code == 2, done.stderr
    assert done.stderr.startswith(f"batchrun: {url}: ")
    assert done.stderr.count("\n") == 1
    assert [word for word in words if word not in done.stderr] == [], done.stderr
    assert KEY not in done.stderr


def test_azure_accepts_a_token_as_well_as_a_key(azure: Cloud, batchrun: Batchrun) -> None:
    """The token is in the connection string of its portal; results can be written with it too."""
    run = ("run", f"az://{BUCKET}/a.jsonl", "-m", MODEL, "-o", "out", "--simulate", "--upload", f"az://{BUCKET}/out")
    done = batchrun(*run, **{CONNECTION: with_token(azure)})
    assert done.code == 0, done.stderr
    assert azure.read("out/run.json") == Path("out/run.json").read_bytes()
    assert {name for name in azure.everything() if "tmp" in name} == set()


def test_the_url_scheme_of_spark_means_the_same(azure: Cloud, batchrun: Batchrun) -> None:
    """`abfs://`, for the account that the environment names."""
    for scheme in ("abfs", "abfss"):
        done = batchrun("run", f"{scheme}://{BUCKET}/*.jsonl", "-m", MODEL, "-o", scheme, "--simulate")
        assert done.code == 0, done.stderr


def test_a_wrong_azure_key_is_refused(azure: Cloud, batchrun: Batchrun) -> None:
    """For input, and for results before any request is sent."""
    write_rows("a.jsonl", {"prompt": "a"})
    url, cure = f"az://{BUCKET}/x", "set AZURE_STORAGE_KEY or AZURE_STORAGE_CONNECTION_STRING, or log in: az login"
    wrong = {CONNECTION: connection_string(azure.door.url, base64.b64encode(b"w" * 64).decode())}
    for arguments in ((url,), ("a.jsonl", "--upload", url)):
        done = batchrun("run", *arguments, "-m", MODEL, "--simulate", **wrong)
        refused(done, url, "failed to authenticate", cure)


def test_a_wrong_token_is_in_no_message(azure: Cloud, batchrun: Batchrun) -> None:
    """Messages of pyarrow contain URLs, and these contain the token."""
    wrong = with_token(azure, base64.b64encode(b"w" * 64).decode())
    write_rows("a.jsonl", {"prompt": "a"})
    url = f"az://{BUCKET}/x"
    done = batchrun("run", "a.jsonl", "-m", MODEL, "--simulate", "--upload", url, **{CONNECTION: wrong})
    refused(done, url, "failed to authenticate", "sig=…")
    assert wrong.partition("sig=")[2] not in done.stderr


def test_a_missing_account_is_asked_for(azure: Cloud, batchrun: Batchrun) -> None:
    """Without a key the message says how to log in."""
    url = f"az://{BUCKET}/x"
    done = batchrun("run", url, "-m", MODEL, "--simulate", **{CONNECTION: ""})
    assert done.code == 2
    assert "names no storage account; set AZURE_STORAGE_ACCOUNT or" in done.stderr
    keyless = f"BlobEndpoint={azure.door.url}/{ACCOUNT}"
    refused(batchrun("run", url, "-m", MODEL, "--simulate", **{CONNECTION: keyless}), url, "or log in: az login")


def test_without_a_google_login_the_message_says_how_to_log_in(google: Cloud, batchrun: Batchrun) -> None:
    """With an invalid credentials file, without credentials, and with credentials that Google no longer accepts."""
    Path("key.json").write_text(json.dumps({"type": "service_account", "client_email": "a@b", "private_key": "x"}))
    cure = "log in: gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
    url = f"gs://{BUCKET}/x"
    for name in ("key.json", "none.json"):
        done = batchrun("run", url, "-m", MODEL, "--simulate", GOOGLE_APPLICATION_CREDENTIALS=name)
        refused(done, url, cure)
    nowhere = f"{url}?retry_limit_seconds=1"
    refused(batchrun("run", nowhere, "-m", MODEL, "--simulate"), nowhere, cure)
    google.door.on_request = lambda method, path: 401
    anonymous = google.url("x")
    refused(batchrun("run", anonymous, "-m", MODEL, "--simulate"), anonymous, cure)
    write_rows("a.jsonl", {"prompt": "a"})
    refused(batchrun("run", "a.jsonl", "-m", MODEL, "--simulate", "--upload", anonymous), anonymous, cure)
