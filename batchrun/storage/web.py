"""Files on HTTP servers, by the standard library: nothing to install, and signed URLs work, which allow only GET."""

import errno
import http.client
import io
import re
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from batchrun.errors import InputError
from batchrun.storage.remote import Found, RemoteFile

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

_IN_URLS = "!#$%&'()*+,/:;=?@[]~"
"""What may stand in a URL beside letters and digits. Source: RFC 3986, 2."""


class _Head(NamedTuple):
    """What a server says of a file."""

    size_bytes: int | None
    version: str
    gives_parts: bool


def look(url: str) -> Found | None:
    """Return the file with this URL; None where nothing is. Raises `OSError`."""
    try:
        head = _head(url)
    except FileNotFoundError:
        return None
    return Found(url, head.size_bytes or 0, head.version)


def files(url: str, *, is_deep: bool) -> list[Found]:  # noqa: ARG001  # as every store's
    """Return nothing: an HTTP server has no folders."""
    return []


def open_file(url: str) -> RemoteFile:
    """Open a file for reading; raises `OSError`. Where a server gives no parts, it can be read only from its start."""
    head = _head(url)
    if head.gives_parts:
        return RemoteFile(lambda offset, size: _part(url, offset, size, head.version), head.size_bytes)
    stream = _Stream(url)
    return RemoteFile(stream.fetch, None, stream.close)


def check_upload(url: str) -> None:
    """Refuse, as `upload` does."""
    upload([], url)


def upload(paths: Sequence[Path], url: str) -> None:  # noqa: ARG001  # as every store's
    """Refuse: there is no one way to write to a server."""
    raise InputError(f"{url}: an HTTP server takes no files; name a bucket (s3://, gs://, az://) or hf://datasets/…")


def _head(url: str) -> _Head:
    """Ask for one byte, not by HEAD: signed URLs allow no other method, and many a server answers that wrongly."""
    with _answer(url, 0, 1) as answer:
        version = _version(answer)
        if answer.status == _EMPTY:
            return _Head(0, version, gives_parts=True)
        total = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
        if answer.status == http.client.PARTIAL_CONTENT and total:
            return _Head(int(total[1]), version, gives_parts=True)
        return _Head(answer.length, version, gives_parts=False)


def _part(url: str, offset: int, size: int, version: str) -> bytes:
    with _answer(url, offset, size) as answer:
        if _version(answer) != version or answer.status != http.client.PARTIAL_CONTENT:
            raise InputError(f"{url}: has changed while it was read")
        return _translated(lambda: bytes(answer.read(size)))


class _Stream:
    """A file that comes in one piece, from its start."""

    def __init__(self, url: str) -> None:
        self._answer = _answer(url)
        self._position = 0

    def fetch(self, offset: int, size: int) -> bytes:
        """Return what follows; raises `OSError`, also where something else is asked for."""
        if offset != self._position:
            raise io.UnsupportedOperation("its server gives it only whole, from the start; download it first")
        data = _translated(lambda: bytes(self._answer.read(size)))
        if len(data) < size and self._answer.length:
            raise io.UnsupportedOperation("the server broke off, and gives no parts of files; download it first")
        self._position += len(data)
        return data

    def close(self) -> None:
        """Hang up."""
        self._answer.close()


def _answer(url: str, offset: int = 0, size: int | None = None) -> Any:
    """Return the answer to a GET, of a part or of all; the caller closes it."""
    headers = {"User-Agent": "batchrun"}
    if size is not None:
        headers["Range"] = f"bytes={offset}-{offset + size - 1}"
    request = urllib.request.Request(quote(url, safe=_IN_URLS), headers=headers)  # noqa: S310  # http(s), as the door saw
    try:
        return _translated(lambda: urllib.request.urlopen(request, timeout=_TIMEOUT_S))  # noqa: S310
    except HTTPError as problem:
        if problem.code == _EMPTY:
            return problem
        with problem:
            kind, said = _ERRORS.get(problem.code, (OSError, f"the server says {problem.code} {problem.reason}"))
            raise kind(errno.EIO, said) from None


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
