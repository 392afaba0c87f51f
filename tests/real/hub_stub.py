"""A stand-in for the Hugging Face Hub with one dataset, `u/n`: the parts that its library uses; it keeps commits.

Arguments of the command: the port, and the folder with the files of the dataset.
"""

import base64
import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_COMMIT = "c" * 40
_API = "/api/datasets/u/n"
_FILES = "/datasets/u/n/resolve/main/"


class Hub(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:  # its name in the standard library
        """Answer a question about the dataset, or send a part of a file."""
        url = urlsplit(self.path)
        path = unquote(url.path)
        if path.startswith(_FILES):
            self._give((self.folder / path.removeprefix(_FILES)).read_bytes())
        elif path.startswith(f"{_API}/tree/main"):
            below = path.removeprefix(f"{_API}/tree/main").strip("/")
            self._list(self.folder / below, is_deep="true" in parse_qs(url.query).get("recursive", []))
        elif path in (_API, f"{_API}/revision/main"):
            self._say({"id": "u/n", "sha": _COMMIT, "private": False, "siblings": [], "tags": []})
        else:
            self._say({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    def do_POST(self) -> None:
        """Accept a commit and the requests before it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            self._say({"url": f"http://{self.headers['Host']}/datasets/u/n"})
        elif self.path == "/api/validate-yaml":
            is_card = json.loads(body)["content"].startswith("---\n")
            self._say({"errors": [] if is_card else [{"message": "no front matter"}]}, 200 if is_card else 400)
        elif self.path.startswith(f"{_API}/preupload/main"):
            modes = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self._say({"files": [{"path": each["path"]} | modes for each in json.loads(body)["files"]]})
        elif self.path.startswith(f"{_API}/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    target = self.folder / line["value"]["path"]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(base64.b64decode(line["value"]["content"]))
            self._say({"commitUrl": f"http://{self.headers['Host']}/datasets/u/n/commit/1", "commitOid": _COMMIT})
        else:
            self._say({"error": "not stubbed"}, 501)

    def _list(self, folder: Path, *, is_deep: bool) -> None:
        if not folder.is_dir():
            self._say({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        found = sorted(folder.rglob("*") if is_deep else folder.iterdir())
        self._say([self._entry(path) for path in found])

    def _entry(self, path: Path) -> dict[str, Any]:
        name = str(path.relative_to(self.folder))
        if path.is_dir():
            return {"type": "directory", "path": name, "size": 0, "oid": "0" * 40}
        content = path.read_bytes()
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha256(content).hexdigest()[:40]}

    def _give(self, content: bytes) -> None:
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        self._send(206, part, {"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"})

    def _say(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body)), "X-Repo-Commit": _COMMIT}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    Hub.folder = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hub).serve_forever()
