"""A stand-in for the servers of Weave's SDK: it keeps what it receives and answers the SDK's questions.

It supports calls, objects, tables, files and the two GraphQL questions that the SDK asks at its start. It accepts data
that the real service would refuse: it shows what is sent, not what is accepted.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from harness.serving import serving_by

TRACES = "/traces"


class WeaveStub:
    """The received data, and switches that make requests fail."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}
        """Id → call, with the data of its start and its end."""
        self.sent_twice: list[str] = []
        """Ids of calls that were sent although they existed."""
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        """Name and digest → value."""
        self.tables: dict[str, list[Any]] = {}
        self._rows: dict[str, Any] = {}
        self.deleted: list[str] = []
        self.requests: list[str] = []
        """Method and path of every request."""
        self.keys: set[str] = set()
        """The authorization headers received."""
        self.is_broken: Callable[[str], int | None] = lambda path: None
        """Path → status to refuse it with, None to accept it."""
        self.after: Callable[[str], None] = lambda path: None
        """Called after a request is received, before it is answered."""
        self.base_url = ""

    @property
    def traces(self) -> list[dict[str, Any]]:
        """The calls for requests of the run."""
        return [call for call in self.calls.values() if "/op/batchrun.chat_completion:" in call["op_name"]]

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """The calls for evaluations."""
        return [call for call in self.calls.values() if "/op/Evaluation.evaluate:" in call["op_name"]]

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the versions of an object."""
        return [value for (each, _), value in self.objects.items() if each == name]

    def of_class(self, name: str) -> list[dict[str, Any]]:
        """Return the objects of a class."""
        found = [value for value in self.objects.values() if isinstance(value, dict)]
        return [value for value in found if value.get("_class_name") == name]

    # Requests.

    def answer(self, path: str, sent: Any) -> Any:
        """Return the answer to a request, as JSON."""
        if path == "/graphql":
            return {"data": _graphql(sent)}
        path = path.removeprefix(TRACES)
        if path.startswith("/v2/"):
            return self._v2(path.rsplit("/", 2)[1:], sent)
        known: dict[str, Callable[[Any], Any]] = {
            "/server_info": lambda sent: {
                "min_required_weave_python_version": "0.1.0",
                "trace_server_version": "9.9.9",
            },
            "/obj/create": self._object,
            "/table/create": self._table,
            "/table/create_from_digests": self._joined_table,
            "/table/update": self._longer_table,
            "/file/create": lambda sent: {"digest": hashlib.sha256(sent).hexdigest()[:40]},
            "/calls/stream_query": self._query,
            "/calls/delete": self._delete,
            "/feedback/batch/create": lambda sent: {"res": [{"id": "f", "created_at": _NOW} for _ in sent["batch"]]},
        }
        return known[path](sent)

    def _v2(self, what: list[str], sent: Any) -> Any:
        if what == ["calls", "complete"]:
            for call in sent["batch"]:
                self._note(call)
        elif what == ["call", "start"]:
            self._note(sent["start"])
            return {"id": sent["start"]["id"], "trace_id": sent["start"]["trace_id"]}
        elif what == ["call", "end"]:
            self.calls[sent["end"]["id"]] |= sent["end"]
        return {}

    def _note(self, call: dict[str, Any]) -> None:
        if call["id"] in self.calls:
            self.sent_twice.append(call["id"])
        self.calls[call["id"]] = call

    def _object(self, sent: Any) -> Any:
        value, name = sent["obj"]["val"], sent["obj"]["object_id"]
        digest = _digest(value)
        self.objects[name, digest] = value
        return {"digest": digest}

    def _table(self, sent: Any) -> Any:
        rows = sent["table"]["rows"]
        digest = _digest(rows)
        self.tables[digest] = rows
        digests = [_digest(row) for row in rows]
        self._rows |= dict(zip(digests, rows, strict=True))
        return {"digest": digest, "row_digests": digests}

    def _joined_table(self, sent: Any) -> Any:
        """Make a large table from rows that were sent in parts."""
        rows = [self._rows[digest] for digest in sent["table"]["row_digests"]]
        digest = _digest(rows)
        self.tables[digest] = rows
        return {"digest": digest}

    def _longer_table(self, sent: Any) -> Any:
        """Make a table from another table and more rows; wide rows are sent so."""
        added = [each["append"]["row"] for each in sent["updates"]]
        made = self._table({"table": {"rows": [*self.tables.pop(sent["base_digest"]), *added]}})
        return {"digest": made["digest"], "updated_row_digests": made["row_digests"][-len(added) :]}

    def _query(self, sent: Any) -> Any:
        wanted = sent["filter"]["call_ids"]
        return [call for name, call in self.calls.items() if name in wanted]

    def _delete(self, sent: Any) -> Any:
        roots = set(sent["call_ids"])
        traces = {each["trace_id"] for each in self.calls.values() if each["id"] in roots and not each["parent_id"]}
        gone = [each["id"] for each in self.calls.values() if each["id"] in roots or each["trace_id"] in traces]
        for each in gone:
            del self.calls[each]
        self.deleted += gone
        return {"num_deleted": len(gone)}


_VERSIONS = {"min_required_weave_python_version": "0.1.0", "trace_server_version": "9.9.9"}
_NOW = "2026-01-01T00:00:00Z"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:40]


def _graphql(sent: Any) -> Any:
    viewer = {"username": "somebody", "defaultEntity": {"name": "team"}}
    name = (sent.get("variables") or {}).get("project", "project")
    return {"viewer": viewer, "project": {"name": name, "id": "1"}, "upsertModel": {"model": {"name": name}}}


@contextmanager
def weave_stub() -> Iterator[WeaveStub]:
    """Serve on a free port of this machine inside the context."""
    stub = WeaveStub()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                stub.requests.append(f"{self.command} {self.path}")
                stub.keys.add(self.headers.get("Authorization") or "")
                status = stub.is_broken(self.path) or 200
                is_json = "json" in (self.headers.get("Content-Type") or "")
                sent = json.loads(body) if is_json and body else body
                try:
                    answer = stub.answer(self.path, sent) if status == 200 else {"reason": "refused on request"}
                except KeyError as unknown:
                    status, answer = 404, {"reason": f"not known here: {unknown}"}
            stub.after(self.path)
            lines = answer if isinstance(answer, list) else [answer]
            sent = "\n".join(map(json.dumps, lines)).encode()
            with suppress(OSError):  # the client has disconnected
                self._reply(status, sent, is_lines=isinstance(answer, list))

        def _reply(self, status: int, sent: bytes, *, is_lines: bool) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/jsonl" if is_lines else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the standard library's names

        def log_message(self, *arguments: Any) -> None:
            pass

    with serving_by(Handler) as stub.base_url:
        yield stub
