"""A row's images → parts of its last user message: URLs unchanged, files and bytes as data URLs.

Files that are not images are never sent: a row may name any file, so the first bytes of each are checked. A file is
read when its row becomes a request, and is not kept.
"""

import base64
import binascii
import contextlib
import os
import stat
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import orjson

from batchrun.prompts.request import MAX_BODY_BYTES
from batchrun.prompts.values import RowProblem, kind_of
from batchrun.records import Image, Prompt, Row
from batchrun.storage.urls import is_remote

_HEAD_BYTES = 32
"""How many bytes of a file show what kind of image it is."""

_MAX_BYTES = MAX_BODY_BYTES // 4 * 3
"""Longest image: base64 makes four bytes of three."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)
"""First bytes → media type. Sources: WHATWG, "MIME Sniffing", and TIFF 6.0."""

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
}
"""Major brand of an ISO media file → media type. Source: the registry of MP4RA."""

_BMP_HEADER_BYTES = {12, 16, 40, 52, 56, 64, 108, 124}
"""Lengths of a BMP file's second header: two letters alone would let many texts pass."""

_KNOWN = "PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF or HEIC"


def media_type(head: bytes) -> str | None:
    """Return the media type of an image from its first bytes, at least 32; None if it is not an image."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return "image/bmp"
    return _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None


class Images:
    """Finds the images of rows in one column."""

    def __init__(self, column: str) -> None:
        self.column = column

    def added(self, prompt: Prompt, row: Row) -> Prompt:
        """Return a row's prompt with the row's images at the end of its last user message.

        A value is a URL, a path, a data URL, bytes, an object of `bytes` and `path` as Hugging Face writes it, or a
        list of these. An empty value means no image. Paths are relative to the folder of the row's file.

        Raises:
            RowProblem: one cannot be read or is not an image, or a user message is missing.
        """
        try:
            found = _found((row.columns or {}).get(self.column), row.folder)
            if not found:
                return prompt
            messages = _with_parts(prompt.body["messages"], found)
        except RowProblem as problem:
            raise RowProblem(f"{self.column}: {problem}") from None
        images = tuple(each for each in found if isinstance(each, Image))
        return prompt._replace(body=prompt.body | {"messages": messages}, images=images)


def _found(value: Any, folder: str) -> list[str | Image]:
    """Return the images of one value, at most as many as a request can hold."""
    found = []
    size = 0
    for each in _values(value):
        found.append(image := _image(each, folder))
        size += len(image.url) if isinstance(image, Image) else 0
        if size > MAX_BODY_BYTES:
            raise RowProblem(f"holds images of more than {MAX_BODY_BYTES >> 20} MiB, the most that can be sent")
    return found


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):  # CSV holds a list as JSON
        with contextlib.suppress(orjson.JSONDecodeError):  # then it is a path
            value = orjson.loads(value)
    for each in value if isinstance(value, list) else [value]:
        if each is not None and each != "":
            yield each


def _with_parts(messages: list[Any], images: list[str | Image]) -> list[Any]:
    urls = [image.name if isinstance(image, Image) else image for image in images]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    for place in reversed(range(len(messages))):
        message = messages[place]
        if message["role"] == "user":
            content = message.get("content")
            before = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
            return [*messages[:place], message | {"content": [*before, *parts]}, *messages[place + 1 :]]
    raise RowProblem("has images but no user message to put them into")


def _image(value: Any, folder: str) -> str | Image:
    """Return the URL of an image that is elsewhere, or the image."""
    if isinstance(value, dict) and ("bytes" in value or "path" in value):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if isinstance(value, bytes):
        return _from_bytes(value)
    if not isinstance(value, str):
        raise RowProblem(f"is {kind_of(value)}; must be a URL, a path, or bytes")
    scheme, colon, rest = value.partition(":")
    scheme = scheme.lower() if colon else ""
    if scheme in ("http", "https") and rest.startswith("//"):
        return value
    if scheme == "data":
        return _from_bytes(_decoded(rest))
    if scheme == "file":
        return _from_file(Path(url2pathname(urlsplit(value).path)))
    if rest.startswith("//"):
        raise RowProblem(f"{value} cannot be sent; use a URL that begins with http:, https: or data:")
    if is_remote(folder) and not Path(value).is_absolute():
        cure = "use https: URLs or bytes, or copy the folder to this machine"
        raise RowProblem(f"{value} is a path in {folder}; images are not fetched from there; {cure}")
    return _from_file(Path(folder, value))


def _decoded(rest: str) -> bytes:
    """Return the bytes of a data URL, from what follows its scheme."""
    head, _, text = rest.partition(",")
    if not head.lower().endswith(";base64"):
        raise RowProblem("is a data URL without base64; write data:image/png;base64,…")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RowProblem("is a data URL whose base64 is broken") from None


def _from_file(path: Path) -> Image:
    try:
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _MAX_BYTES:
                raise RowProblem(f"{path} has {size >> 20} MiB; at most {_MAX_BYTES >> 20} MiB can be sent")
            head = file.read(_HEAD_BYTES)
            if media_type(head) is None:
                raise RowProblem(f"{path} is not an image ({_KNOWN})")
            return _from_bytes(head + file.read(size))  # with a size: without one Python reserves memory first
    except OSError as problem:
        shown = str(path) if len(str(path)) < 300 else f"{str(path)[:100]}…"  # probably base64 without data:image/…
        raise RowProblem(f"{shown} cannot be read: {problem.strerror}") from None
    except ValueError as problem:  # a zero byte in its name
        if isinstance(problem, RowProblem):
            raise
        raise RowProblem(f"{str(path)!r} is not a path") from None


def _opened(path: Path) -> BinaryIO:
    """Open a regular file; a pipe that nobody writes to would block the run."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise RowProblem(f"{path} is not a regular file")
    return path.open("rb")


def _from_bytes(data: bytes) -> Image:
    kind = media_type(data[:_HEAD_BYTES])
    if kind is None:
        raise RowProblem(f"holds bytes that are not an image ({_KNOWN})")
    name = f"image:{blake2b(data, digest_size=16).hexdigest()}"
    return Image(name, b"data:%b;base64,%b" % (kind.encode(), base64.b64encode(data)))
