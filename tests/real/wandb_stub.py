"""A stand-in for the server of W&B: it keeps the history of runs and answers the SDK's questions.

It supports the start, the history and the end of a run, but no artifacts.
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from harness.serving import serving_by


class Run:
    """The data of one W&B run."""

    def __init__(self) -> None:
        self.lines: dict[int, str] = {}
        self.summary = "{}"
        self.config: dict[str, Any] = {}

    @property
    def history(self) -> list[dict[str, Any]]:
        """The logged rows, in order."""
        return [json.loads(self.lines[number]) for number in sorted(self.lines)]


class WandbStub:
    """The received data, and switches that make requests fail."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.asked: list[str] = []
        """The requests, by name or path."""
        self.keys: set[str] = set()
        """The authorization headers received."""
        self.status = 200
        """The status of all answers; if it is not 200, every request is refused."""
        self.base_url = ""

    def answer(self, path: str, sent: Any) -> Any:
        """Return the answer to a request, as JSON."""
        if path != "/graphql":
            self.asked.append(path)
            return self._stream(path, sent) if path.endswith("/file_stream") else {}
        self.asked.append(sent.get("operationName") or "")
        known = {
            "RunResumeStatus": self._resumed,
            "UpsertBucket": self._begun,
            "CreateRunFiles": self._files,
        }
        if "Artifact" in self.asked[-1]:
            return {"data": None, "errors": [{"message": "no artifacts here"}]}
        wanted = sent.get("variables") or {}
        return {"data": known.get(self.asked[-1], lambda wanted: _ABOUT)(wanted)}

    def _stream(self, path: str, sent: Any) -> Any:
        run, files = self.runs[path.split("/")[-2]], sent.get("files") or {}
        history = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        run.lines |= dict(enumerate(history["content"], start=history["offset"]))
        if summary := files.get("wandb-summary.json"):
            run.summary = summary["content"][-1]
        return {}

    def _resumed(self, wanted: Any) -> Any:
        model = {"id": "1", "name": wanted["project"], "entity": {"id": "2", "name": wanted["entity"]}, "bucket": None}
        if (run := self.runs.get(wanted["name"])) is not None:
            model["bucket"] = {
                "name": wanted["name"],
                "id": "3",
                "displayName": wanted["name"],
                "summaryMetrics": run.summary,
                "logLineCount": 0,
                "historyLineCount": len(run.lines),
                "eventsLineCount": 0,
                "historyTail": json.dumps([run.lines[number] for number in sorted(run.lines)[-1:]]),
                "eventsTail": "[]",
                "config": "{}",
                "tags": [],
                "wandbConfig": json.dumps({"t": 1}),
            }
        return {"model": model}

    def _begun(self, wanted: Any) -> Any:
        is_new = wanted["name"] not in self.runs
        run = self.runs.setdefault(wanted["name"], Run())
        run.config |= json.loads(wanted.get("config") or "{}")
        project = {"id": "1", "name": wanted["project"], "entity": {"id": "2", "name": wanted["entity"]}}
        bucket = {"id": "3", "name": wanted["name"], "displayName": wanted.get("displayName"), "project": project}
        return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0, "config": "{}"}, "inserted": is_new}}

    def _files(self, wanted: Any) -> Any:
        files = [{"name": name, "uploadUrl": f"{self.base_url}/files/{name}"} for name in wanted["files"]]
        return {"createRunFiles": {"runID": "3", "uploadHeaders": [], "files": files}}


_ABOUT = {
    "viewer": {"id": "4", "username": "somebody", "entity": "team", "flags": "{}", "teams": {"edges": []}},
    "serverInfo": {"features": [], "cliVersionInfo": {"max_cli_version": "99.0.0"}},
}


@contextmanager
def wandb_stub() -> Iterator[WandbStub]:
    """Serve on a free port of this machine inside the context."""
    stub = WandbStub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            stub.keys.add(self.headers.get("Authorization") or "")
            sent = json.loads(body) if self.path == "/graphql" or self.path.endswith("/file_stream") else None
            refused = {"errors": [{"message": "permission denied"}]}
            data = json.dumps(stub.answer(self.path, sent) if stub.status == 200 else refused).encode()
            self.send_response(stub.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST  # noqa: N815  # the library's name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # the SDK has ended
                super().handle()

    with serving_by(Handler) as stub.base_url:
        yield stub
