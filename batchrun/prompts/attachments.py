"""A row's images, PDFs, sounds and videos → parts of its last user message: URLs unchanged, the others as data.

A row may name any file, so the first bytes of each are checked: files of other kinds are never sent. A file is read
when its row becomes a request, and is not kept.
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

from batchrun.job.prompt import PromptTemplates
from batchrun.prompts.media import (
    FILE_KINDS,
    HEAD_BYTES,
    IMAGE_KINDS,
    carried,
    content_part,
    media_type,
    url_type,
)
from batchrun.prompts.request import MAX_BODY_BYTES
from batchrun.prompts.values import RowProblem, kind_of
from batchrun.records import Attachment, Prompt, Row
from batchrun.storage.urls import is_remote

_MAX_BYTES = MAX_BODY_BYTES // 4 * 3
"""Longest file: base64 makes four bytes of three."""


def attachments_of(prompt: PromptTemplates) -> tuple["Attachments", ...]:
    """Return what finds the files of a job's rows, in the order in which they are sent."""
    named = ((prompt.images, True), (prompt.files, False))
    return tuple(Attachments(column, only_images=only_images) for column, only_images in named if column)


class Attachments:
    """Finds the files of rows in one column."""

    def __init__(self, column: str, *, only_images: bool) -> None:
        self.column = column
        self._only_images = only_images
        self._noun = "images" if only_images else "files"

    def added(self, prompt: Prompt, row: Row) -> Prompt:
        """Return a row's prompt with the row's files at the end of its last user message.

        A value is a URL, a path, a data URL, bytes, an object of `bytes` and `path` as Hugging Face writes it, or a
        list of these. An empty value means no file. Paths are relative to the folder of the row's file.

        Raises:
            RowProblem: one cannot be read or is of no kind that can be sent, or a user message is missing.
        """
        if "messages" not in prompt.body:  # of a kind that has none
            return prompt
        try:
            parts, found = self._found((row.columns or {}).get(self.column), row.folder)
            if not parts:
                return prompt
            messages = self._with_parts(prompt.body["messages"], parts)
        except RowProblem as problem:
            raise RowProblem(f"{self.column}: {problem}") from None
        return prompt._replace(body=prompt.body | {"messages": messages}, attachments=(*prompt.attachments, *found))

    def _found(self, value: Any, folder: str) -> tuple[list[dict[str, Any]], list[Attachment]]:
        """Return the parts for one value and the files in them, at most as many as a request can hold."""
        parts: list[dict[str, Any]] = []
        found: list[Attachment] = []
        size = 0
        for each in _values(value):
            content = self._content(each, folder)
            if isinstance(content, str):
                parts.append(content_part(self._url_type(content), content, is_url=True))
                continue
            kind, attachment = self._attachment(content)
            parts.append(content_part(kind, attachment.name, is_url=False))
            found.append(attachment)
            size += len(attachment.data)
            if size > MAX_BODY_BYTES:
                most = f"{MAX_BODY_BYTES >> 20} MiB, the most that can be sent"
                raise RowProblem(f"holds {self._noun} of more than {most}")
        return parts, found

    def _with_parts(self, messages: list[Any], parts: list[dict[str, Any]]) -> list[Any]:
        for place in reversed(range(len(messages))):
            message = messages[place]
            if message["role"] == "user":
                content = message.get("content")
                before = (
                    content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
                )
                return [*messages[:place], message | {"content": [*before, *parts]}, *messages[place + 1 :]]
        raise RowProblem(f"has {self._noun} but no user message to put them into")

    def _content(self, value: Any, folder: str) -> str | bytes:
        """Return the URL of a file that is elsewhere, or the bytes of the file."""
        if isinstance(value, dict) and ("bytes" in value or "path" in value):
            value = value.get("path") if value.get("bytes") is None else value["bytes"]
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise RowProblem(f"is {kind_of(value)}; must be a URL, a path, or bytes")
        scheme, colon, rest = value.partition(":")
        scheme = scheme.lower() if colon else ""
        if scheme in ("http", "https") and rest.startswith("//"):
            return value
        if scheme == "data":
            return _decoded(rest)
        if scheme == "file":
            return self._read(Path(url2pathname(urlsplit(value).path)))
        if rest.startswith("//"):
            raise RowProblem(f"{value} cannot be sent; use a URL that begins with http:, https: or data:")
        if is_remote(folder) and not Path(value).is_absolute():
            cure = "use https: URLs or bytes, or copy the folder to this machine"
            raise RowProblem(f"{value} is a path in {folder}; {self._noun} are not fetched from there; {cure}")
        return self._read(Path(folder, value))

    def _url_type(self, url: str) -> str:
        """Return the media type of a file that is elsewhere."""
        if self._only_images:
            return "image/"
        kind = url_type(url)
        if kind is None:
            cure = (
                "its ending must be that of a PDF, sound, video or image, such as .pdf, .mp3 or .mp4; or use its bytes"
            )
            raise RowProblem(f"{url} does not show what kind of file it is; {cure}")
        return kind

    def _attachment(self, data: bytes) -> tuple[str, Attachment]:
        """Return the media type of a file, and the file."""
        kind = self._kind(data[:HEAD_BYTES])
        if kind is None:
            raise RowProblem(f"holds bytes that are {self._not_known}")
        name = f"{'image' if kind.startswith('image/') else 'file'}:{blake2b(data, digest_size=16).hexdigest()}"
        return kind, Attachment(name, carried(kind, base64.b64encode(data)))

    def _kind(self, head: bytes) -> str | None:
        kind = media_type(head)
        return None if kind is None or (self._only_images and not kind.startswith("image/")) else kind

    @property
    def _not_known(self) -> str:
        return f"not an image ({IMAGE_KINDS})" if self._only_images else f"not a file of a known kind ({FILE_KINDS})"

    def _read(self, path: Path) -> bytes:
        try:
            with _opened(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > _MAX_BYTES:
                    raise RowProblem(f"{path} has {size >> 20} MiB; at most {_MAX_BYTES >> 20} MiB can be sent")
                head = file.read(HEAD_BYTES)
                if self._kind(head) is None:
                    raise RowProblem(f"{path} is {self._not_known}")
                return head + file.read(size)  # with a size: without one Python reserves memory first
        except OSError as problem:
            shown = str(path) if len(str(path)) < 300 else f"{str(path)[:100]}…"  # probably base64 without data:image/…
            raise RowProblem(f"{shown} cannot be read: {problem.strerror}") from None
        except ValueError as problem:  # a zero byte in its name
            if isinstance(problem, RowProblem):
                raise
            raise RowProblem(f"{str(path)!r} is not a path") from None


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):  # CSV holds a list as JSON
        with contextlib.suppress(orjson.JSONDecodeError):  # then it is a path
            value = orjson.loads(value)
    for each in value if isinstance(value, list) else [value]:
        if each is not None and each != "":
            yield each


def _decoded(rest: str) -> bytes:
    """Return the bytes of a data URL, from what follows its scheme."""
    head, _, text = rest.partition(",")
    if not head.lower().endswith(";base64"):
        raise RowProblem("is a data URL without base64; write data:image/png;base64,…")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RowProblem("is a data URL whose base64 is broken") from None


def _opened(path: Path) -> BinaryIO:
    """Open a regular file; a pipe that nobody writes to would block the run."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise RowProblem(f"{path} is not a regular file")
    return path.open("rb")
