"""Batch lines as input: what the server gets is compared with the bytes in the file."""

import gzip
import json
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from harness.by_batch import MODEL, files
from harness.serving import serving_by

BODIES = (
    rb'{"model": "%b", "messages": [{"role": "user", "content": "Gr\u00fc\u00dfe \ud83d\ude00 \/"}]}',
    b'{ "temperature":1.0,"top_p" : 1e-1 , "messages":[{"content":"Gr\xc3\xbc\xc3\x9fe","role":"user"}],"model":"%b"}',
    b'{"model":"%b","messages":[{"role":"user","content":"Hi"}],\t"seed":9007199254740993,"presence_penalty":1E-1,"n":1}',
)
LINES = tuple(
    b'{"custom_id": "%d", "method": "POST", "url": "/v1/chat/completions", "body": %b}\n'
    % (number, body % MODEL.encode())
    for number, body in enumerate(BODIES)
)

REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


@pytest.fixture
def server() -> Any:
    """Serve answers; yield the base URL and the bodies that came, as they came."""
    came: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(REPLY)))
            self.end_headers()
            self.wfile.write(REPLY)

        def log_message(self, *_: Any) -> None:
            pass

    with serving_by(Handler) as url:
        yield f"{url}/v1", came


def expected(model: str = MODEL) -> list[bytes]:
    return sorted(body % model.encode() for body in BODIES)


@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz"])
def test_the_server_gets_the_bytes_of_the_file(batchrun: Any, server: Any, name: str) -> None:
    """Also from a packed file, and whichever way the lines end."""
    content = b"".join(LINES).replace(b"\n", b"\r\n")
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    url, came = server
    assert batchrun("run", name, "--base-url", url, "-o", "out").code == 0
    assert sorted(came) == expected()


@pytest.mark.local_only("batches are not sent by workers")
def test_a_batch_has_the_bytes_of_the_file(run: Any, endpoint: Any) -> None:
    """Under labels of our own, and results under the user's."""
    endpoint.change(batch_validation_s=0.01)
    Path("in.jsonl").write_bytes(b"".join(LINES))
    assert run("in.jsonl", "--via", "batch", model=None).code == 0
    [file] = files(endpoint)
    bodies = [line.partition(b'"body":')[2].removesuffix(b"}") for line in file.content.splitlines()]
    assert sorted(bodies) == expected()
    assert pq.read_table("out/results.parquet")["custom_id"].to_pylist() == ["0", "1", "2"]


@pytest.mark.local_only("batches are not sent by workers")
def test_a_batch_of_embeddings_has_the_bytes_of_lines_that_state_how_vectors_travel(run: Any, endpoint: Any) -> None:
    """The others ask for base64: an answer is a quarter as long then."""
    endpoint.change(batch_validation_s=0.01)
    own = [b'"encoding_format" : "float"', b'"encoding_format":"base64"', b'"dimensions" : 8']
    bodies = [b'{ "input":"Gr\xc3\xbc\xc3\x9fe",%b, "model":"%b"}' % (each, MODEL.encode()) for each in own]
    head = b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": %b}\n'
    Path("in.jsonl").write_bytes(b"".join(head % body for body in bodies))
    assert run("in.jsonl", "--via", "batch", model=None).code == 0
    [file] = files(endpoint)
    *stated, added = [line.partition(b'"body":')[2].removesuffix(b"}") for line in file.content.splitlines()]
    assert stated == bodies[:2]
    assert orjson.loads(added) == orjson.loads(bodies[2]) | {"encoding_format": "base64"}


def test_an_endpoint_with_another_name_for_the_model_gets_only_that_name(batchrun: Any, server: Any) -> None:
    """The rest is as it stands in the file."""
    url, came = server
    Path("in.jsonl").write_bytes(b"".join(LINES))
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[endpoints.a]\nbase_url = "{url}"\nmodels = {{"{MODEL}" = "its/name"}}\n'
        '[output]\ndir = "out"\n'
    )
    assert batchrun("run", "job.toml").code == 0
    assert sorted(came) == expected("its/name")
    shown = batchrun("show", "out", "--row", 1, "--curl").stdout
    assert (BODIES[1] % b"its/name").decode() in shown


def test_a_run_that_sent_the_bodies_written_again_is_resumed(batchrun: Any, server: Any) -> None:
    """The keys of rows are those of before: nothing is bought a second time."""
    url, came = server
    Path("in.jsonl").write_bytes(b"".join(LINES))
    assert batchrun("run", "in.jsonl", "--base-url", url, "-o", "out", "--limit", 2).code == 0
    with closing(sqlite3.connect("out/checkpoint.sqlite")) as checkpoint:
        keys = sorted(key for (key,) in checkpoint.execute("SELECT key FROM outcomes"))
    assert [key.hex() for key in keys] == ["88d278b46ef473f06f518b3623fe6916", "8e24aabbddb5c83dab330b58f82b915e"]
    rewritten = [orjson.dumps(orjson.loads(line)) + b"\n" for line in LINES]
    Path("in.jsonl").write_bytes(b"".join(rewritten))
    assert batchrun("run", "in.jsonl", "--base-url", url, "-o", "out").code == 0
    assert len(came) == 3
