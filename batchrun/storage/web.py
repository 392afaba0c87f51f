"""Files on HTTP servers, through the standard library. Signed URLs work too: only GET is used."""

import errno
import functools
import http.client
import re
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from batchrun.errors import InputError
from batchrun.storage.remote import Found, RemoteFile, RemoteStream, tried
from batchrun.storage.urls import Place

T = TypeVar("T")

_TIMEOUT_S = 60.0
"""The longest time without data from a server."""

_ERRORS = {
    401: (PermissionError, "the server requires a login; use a signed URL, or download it first"),
    403: (PermissionError, "the server forbids it; a signed URL may have expired"),
    404: (FileNotFoundError, "there is no such file"),
    410: (FileNotFoundError, "the file no longer exists"),
}
"""Status → error and message, of those for which a retry is useless."""

_EMPTY = 416
"""The status for a range beyond the end, such as the first byte of an empty file. Source: RFC 9110, 15.5.17."""

_NO_PARTS = "it sends no parts of files, so the transfer cannot be resumed; download the file first"

_IN_URLS = "!#$%&'()*+,/:;=?@[]~"
"""Characters that are allowed in a URL besides letters and digits. Source: RFC 3986, 2."""


class _Head(NamedTuple):
    """What a server reports about a file."""

    size_bytes: int | None
    version: str
    gives_parts: bool


def look(place: Place) -> Found | None:
    """Return the file at a URL; None where nothing exists. Raises `OSError`."""
    try:
        head = tried(lambda: _head(place))
    except FileNotFoundError:
        return None
    return Found(place, head.size_bytes or 0, head.version)


def files(place: Place, *, is_deep: bool) -> list[Found]:  # noqa: ARG001  # the interface of a store
    """Return nothing: an HTTP server has no folders."""
    return []


def open_file(found: Found) -> RemoteFile | RemoteStream:
    """Open a file for reading. Raises `OSError`. Where a server sends no parts, it can be read only from its start."""
    place = found.place
    head = tried(lambda: _head(place))
    if (head.size_bytes or 0, head.version) != found[1:]:
        raise InputError(f"{place}: has changed since it was found; run the same command again")
    if head.size_bytes is None or not head.gives_parts:
        return tried(lambda: _stream(place))
    return RemoteFile(lambda offset, size: _part(place, offset, size, head), head.size_bytes)


def check_upload(place: Place) -> None:
    """Refuse, like `upload`."""
    upload([], place)


def upload(paths: Sequence[Path], place: Place) -> None:  # noqa: ARG001  # the interface of a store
    """Refuse: there is no standard way to write to an HTTP server."""
    raise InputError(
        f"{place}: results cannot be uploaded to an HTTP server; use s3://, gs://, az:// or hf://datasets/USER/NAME"
    )


def _head(place: Place) -> _Head:
    """Request one byte. HEAD is not used: signed URLs do not allow it, and many servers answer it wrongly."""
    with _answer(place, 0, 1) as answer:
        version = _version(answer)
        if answer.status == _EMPTY:
            return _Head(0, version, gives_parts=True)
        if answer.status != http.client.PARTIAL_CONTENT:
            return _Head(answer.length, version, gives_parts=False)
        total = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
        return _Head(int(total[1]) if total else None, version, gives_parts=total is not None)


def _part(place: Place, offset: int, size: int, head: _Head) -> bytes:
    with _answer(place, offset, size) as answer:
        is_part = answer.status == http.client.PARTIAL_CONTENT
        content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if (
            not is_part
            or _version(answer) != head.version
            or (content_range and content_range[2] not in ("*", str(head.size_bytes)))
        ):
            raise InputError(f"{place}: has changed while it was read")
        if not content_range or int(content_range[1]) != offset:
            raise InputError(f"{place}: the server sends another part than the requested one; download the file first")
        return _translated(lambda: bytes(answer.read(size)))


def _stream(place: Place) -> RemoteStream:
    answer = _answer(place)
    if answer.status == http.client.PARTIAL_CONTENT:
        answer.close()
        raise InputError(
            f"{place}: the server sends a part of the file when all of it is requested; download the file first"
        )

    def give(size: int) -> bytes:
        try:
            data = _translated(lambda: bytes(answer.read(size)))
        except OSError as problem:
            raise ConnectionError(errno.EIO, f"{problem.strerror or problem}; {_NO_PARTS}") from problem
        if len(data) < size and answer.length:
            raise ConnectionError(errno.EIO, f"the server ended the transfer early; {_NO_PARTS}")
        return data

    return RemoteStream(give, answer.close)


def _answer(place: Place, offset: int = 0, size: int | None = None) -> Any:
    """Return the response to a GET of a part or of all; the caller closes it."""
    headers = {"User-Agent": "batchrun"}
    if size is not None:
        headers["Range"] = f"bytes={offset}-{offset + size - 1}"
    request = urllib.request.Request(quote(place.url, safe=_IN_URLS), headers=headers)  # noqa: S310  # http(s) only
    try:
        return _translated(lambda: _opener().open(request, timeout=_TIMEOUT_S))
    except HTTPError as problem:
        if problem.code == _EMPTY:
            return problem
        with problem:
            kind, message = _ERRORS.get(problem.code, (OSError, f"the server answers {problem.code} {problem.reason}"))
            raise kind(errno.EIO, message) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the next request. Raises `PermissionError`."""
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise PermissionError(errno.EACCES, "the server redirects from https to plain http, which others can read")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Redirects)


def _translated(call: Callable[[], T]) -> T:
    """Return the result of a call, with every network error as an `OSError` with a clear message."""
    try:
        return call()
    except HTTPError:
        raise
    except URLError as problem:
        message = getattr(problem.reason, "strerror", None) or str(problem.reason)
        raise ConnectionError(errno.EIO, message) from problem
    except http.client.HTTPException as problem:
        raise ConnectionError(errno.EIO, f"the server ended the transfer early ({type(problem).__name__})") from problem


def _version(answer: Any) -> str:
    headers = answer.headers
    return str(headers.get("ETag") or headers.get("Last-Modified") or "")
