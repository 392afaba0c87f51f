"""An upstream that answers every request, streamed or not, and records it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from harness.serving import serving_by

USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
_HEAD = {"id": "recorded", "created": 1, "model": "recorded"}


class Recorder:
    """The received requests."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []


@contextmanager
def recording() -> Iterator[Recorder]:
    """Serve on a free port of this machine, in threads, inside the context."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            recorder.headers.append({name.lower(): value for name, value in self.headers.items()})
            recorder.bodies.append(body)
            answer = _streamed() if body.get("stream") else _whole()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream" if body.get("stream") else "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    with serving_by(Handler) as url:
        recorder = Recorder(f"{url}/v1")
        yield recorder


def _whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Noted."}, "finish_reason": "stop"}
    return json.dumps(_HEAD | {"object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()


def _streamed() -> bytes:
    def chunk(choices: list[Any], **more: Any) -> str:
        return "data: " + json.dumps(_HEAD | {"object": "chat.completion.chunk", "choices": choices} | more) + "\n\n"

    begun = {"index": 0, "delta": {"role": "assistant", "content": "Noted."}, "finish_reason": None}
    ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return (chunk([begun]) + chunk([ended]) + chunk([], usage=USAGE) + "data: [DONE]\n\n").encode()
