"""One line of a batch: what is written for a request, and what is read of its answer. Pure.

The `custom_id` of a line is made here, of row, model and sample, so that each line of a file finds its request; the
user's own stays with the row.
"""

import re
from typing import Any, NamedTuple

import orjson

from batchrun.answers.raw_json import loads, object_at
from batchrun.records import PATHS, Reply, Request, RequestKind

_LABEL = re.compile(r"r(\d+)-m(\d+)-s(\d+)")

_NOT_RUN = frozenset({"batch_expired", "batch_cancelled", "request_cancelled"})
"""Codes of lines that were never answered: they cost nothing, and are sent again. Source: OpenAI's guide."""

_NO_HEADERS: dict[str, str] = {}


class Place(NamedTuple):
    """Which request a line is."""

    row: int
    model: int
    """Number of the model in the checkpoint."""
    sample: int


class Answered(NamedTuple):
    """What a line says."""

    place: Place
    reply: Reply | None
    """As an HTTP exchange would have brought it; None: it was not run."""
    around: tuple[bytes, bytes] = (b"", b"")
    """The line up to the body of the reply, and what follows it; all of it and nothing where it has no such body."""


def label_of(place: Place) -> str:
    """Return the `custom_id` of a line."""
    return f"r{place.row}-m{place.model}-s{place.sample}"


def place_of(label: object) -> Place | None:
    """Return which request a `custom_id` names; None for one that was not made here."""
    found = _LABEL.fullmatch(label) if isinstance(label, str) else None
    return None if found is None else Place(*map(int, found.groups()))


def endpoint_of(kind: RequestKind) -> str:
    """Return the `endpoint` of a batch, and the `url` of its lines."""
    return f"/v1{PATHS[kind]}"


def line_of(place: Place, request: Request, body: bytes) -> bytes:
    """Return the line of a request, with its end.

    Args:
        place: which one it is.
        request: its kind counts.
        body: of the request, with the model's name at the endpoint.
    """
    label, url = label_of(place), endpoint_of(request.kind)
    return b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (label.encode(), url.encode(), body)


def read_line(line: bytes) -> Answered | None:
    """Return what a line of an output file or of an error file says; None where it names no request of ours."""
    try:
        read = loads(line)
    except ValueError:
        return None
    place = place_of(read.get("custom_id")) if isinstance(read, dict) else None
    if place is None:
        return None
    response, error = read.get("response"), read.get("error")
    if isinstance(response, dict):
        raw = object_at(line, "response", "body")
        before, _, after = line.rstrip().partition(raw or b"\n")
        return Answered(place, _reply(response, raw), (before, after))
    code = error.get("code") if isinstance(error, dict) else None
    if code in _NOT_RUN or (error is None and response is None):
        return Answered(place, None)
    return Answered(place, Reply(_status(code), _NO_HEADERS, orjson.dumps({"error": error}), 0.0), (line.rstrip(), b""))


def _reply(response: dict[str, Any], raw: bytes | None) -> Reply:
    """Return a response as a reply. Where it has no body, as of a line that failed inside, it is its own.

    Args:
        response: of a line.
        raw: its body as it stands there; None where it is not an object.
    """
    body = response.get("body")
    status = response.get("status_code")
    content = orjson.dumps(response if body is None else body) if raw is None else raw
    return Reply(_status(status), _NO_HEADERS, content, 0.0)


def _status(stated: Any) -> int:
    """Return the status that a line states; 500 for none, such as the 0 of a line that failed inside."""
    try:
        status = int(stated)
    except (TypeError, ValueError):
        return 500
    return status if 200 <= status < 600 else 500
