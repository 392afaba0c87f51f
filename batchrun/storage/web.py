"""Files on HTTP servers, by the standard library: nothing to install, and signed URLs work, which allow only GET."""

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
"""Longest silence of a server."""

_ERRORS = {
    401: (PermissionError, "the server wants credentials; sign the URL, or download it first"),
    403: (PermissionError, "the server forbids it; a signed URL may have run out"),
    404: (FileNotFoundError, "there is no such file"),
    410: (FileNotFoundError, "there is no such file any more"),
}
"""Status → what it is, of those that it makes no sense to ask again after."""

_EMPTY = 416
"""The answer to a wish for the first byte of a file that has none. Source: RFC 9110, 15.5.17."""

_NO_PARTS = "it gives no parts of files, so that all of it would be asked for again; download it first"

_IN_URLS = "!#$%&'()*+,/:;=?@[]~"
"""What may stand in a URL beside letters and digits. Source: RFC 3986, 2."""


class _Head(NamedTuple):
    """What a server says of a file."""

    size_bytes: int | None
    version: str
    gives_parts: bool


def look(place: Place) -> Found | None:
    """Return the file that is there; None where nothing is. Raises `OSError`."""
    try:
        head = tried(lambda: _head(place))
    except FileNotFoundError:
        return None
    return Found(place, head.size_bytes or 0, head.version)


def files(place: Place, *, is_deep: bool) -> list[Found]:  # noqa: ARG001  # as every store's
    """Return nothing: an HTTP server has no folders."""
    return []


def open_file(found: Found) -> RemoteFile | RemoteStream:
    """Open a file for reading; raises `OSError`. Where a server gives no parts, it can be read only from its start."""
    place = found.place
    head = tried(lambda: _head(place))
    if (head.size_bytes or 0, head.version) != found[1:]:
        raise InputError(f"{place}: has changed since it was found; run it again")
    if head.size_bytes is None or not head.gives_parts:
        return tried(lambda: _stream(place))
    return RemoteFile(lambda offset, size: _part(place, offset, size, head), head.size_bytes)


def check_upload(place: Place) -> None:
    """Refuse, as `upload` does."""
    upload([], place)


def upload(paths: Sequence[Path], place: Place) -> None:  # noqa: ARG001  # as every store's
    """Refuse: there is no one way to write to a server."""
    raise InputError(f"{place}: an HTTP server takes no files; name a bucket (s3://, gs://, az://) or hf://datasets/…")


def _head(place: Place) -> _Head:
    """Ask for one byte, not by HEAD: signed URLs allow no other method, and many a server answers that wrongly."""
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
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not is_part or _version(answer) != head.version or (said and said[2] not in ("*", str(head.size_bytes))):
            raise InputError(f"{place}: has changed while it was read")
        if not said or int(said[1]) != offset:
            raise InputError(f"{place}: its server gives another part than it is asked for; download it first")
        return _translated(lambda: bytes(answer.read(size)))


def _stream(place: Place) -> RemoteStream:
    answer = _answer(place)
    if answer.status == http.client.PARTIAL_CONTENT:
        answer.close()
        raise InputError(f"{place}: its server gives a part where all of it is asked for; download it first")

    def give(size: int) -> bytes:
        try:
            data = _translated(lambda: bytes(answer.read(size)))
        except OSError as problem:
            raise ConnectionError(errno.EIO, f"{problem.strerror or problem}; {_NO_PARTS}") from problem
        if len(data) < size and answer.length:
            raise ConnectionError(errno.EIO, f"the server broke off; {_NO_PARTS}")
        return data

    return RemoteStream(give, answer.close)


def _answer(place: Place, offset: int = 0, size: int | None = None) -> Any:
    """Return the answer to a GET, of a part or of all; the caller closes it."""
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
            kind, said = _ERRORS.get(problem.code, (OSError, f"the server says {problem.code} {problem.reason}"))
            raise kind(errno.EIO, said) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not out of https."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request that follows; raises `PermissionError`."""
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise PermissionError(errno.EACCES, "the server redirects to plain http, where others read along")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Redirects)


def _translated(call: Callable[[], T]) -> T:
    """Return what a call returns, with every error of the network as an `OSError` that says something."""
    try:
        return call()
    except HTTPError:
        raise
    except URLError as problem:
        said = getattr(problem.reason, "strerror", None) or str(problem.reason)
        raise ConnectionError(errno.EIO, said) from problem
    except http.client.HTTPException as problem:
        raise ConnectionError(errno.EIO, f"the server broke off ({type(problem).__name__})") from problem


def _version(answer: Any) -> str:
    headers = answer.headers
    return str(headers.get("ETag") or headers.get("Last-Modified") or "")
