"""Files and batches of an endpoint over HTTP: one exchange each. No policy: it does not retry or wait.

These are few and large, so aiohttp's session is used, unlike for requests.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import aiohttp
import orjson
from aiohttp.http_exceptions import HttpProcessingError

from batchrun.endpoint.access import Access
from batchrun.endpoint.http.client import fault_of, hiding, proxy_for, revealed
from batchrun.errors import RunDirectoryError
from batchrun.job.batch_providers import USUAL, BatchProvider
from batchrun.job.limits import Limits
from batchrun.records import Fault, Reply

_MOST_REPLY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 18

_HEADERS_READ = ("retry-after", "retry-after-ms", "location")

PAGE = 100
"""Batches of one page of a list; the most that OpenAI gives."""


class BatchClient:
    """A session with the files and batches of one endpoint. `async with` opens it."""

    def __init__(self, access: Access, limits: Limits, provider: BatchProvider = USUAL) -> None:
        self._provider = provider
        project = {"OpenAI-Project": access.project} if access.project else {}
        headers = {**project, **access.headers}
        self._base_url, self._query = access.base_url, dict(access.query)
        self._headers = revealed(access.key, headers)
        self._hide = hiding([access.key, *headers.values()])
        self._proxy = proxy_for(access.base_url)
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=limits.connect_timeout_s, sock_read=limits.timeout_s
        )

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def upload(self, path: Path, name: str) -> Reply | Fault:
        """Upload an input file under a name."""
        with _opened(path, "rb") as file:
            form = aiohttp.FormData()
            form.add_field("purpose", self._provider.purpose)
            if self._provider.names_file:
                form.add_field("file_name", name)
            form.add_field("file", file, filename=name, content_type="application/jsonl")
            return await self._exchange("POST", self._provider.upload, data=form)

    async def create(self, file: str, endpoint: str, metadata: Mapping[str, str]) -> Reply | Fault:
        """Create a batch of an uploaded file."""
        asked: dict[str, Any] = {"input_file_id": file, "endpoint": endpoint, "completion_window": "24h"}
        if self._provider.takes_metadata:
            asked["metadata"] = dict(metadata)
        headers = {"Content-Type": "application/json"}
        return await self._exchange("POST", "/batches", data=orjson.dumps(asked), headers=headers)

    async def retrieve(self, name: str) -> Reply | Fault:
        """Ask for the state of a batch."""
        return await self._exchange("GET", f"/batches/{name}")

    async def cancel(self, name: str) -> Reply | Fault:
        """Cancel a batch."""
        return await self._exchange("POST", f"/batches/{name}/cancel")

    async def page(self, after: str | None) -> Reply | Fault:
        """Ask for a page of all batches, the newest first; the first page, or the one after a batch."""
        params = {"limit": str(PAGE), **({"after": after} if after is not None else {})}
        return await self._exchange("GET", "/batches", params=params)

    async def download(self, file: str, path: Path) -> Reply | Fault:
        """Write the content of a file to a path; the reply has none. What is not a success has its body."""
        return await self._exchange("GET", f"/files/{file}/content", path=path)

    def hidden(self, content: bytes) -> bytes:
        """Return what was received without the secrets that were sent."""
        return content if self._hide is None else self._hide(content)

    async def _exchange(
        self,
        method: str,
        place: str,
        *,
        path: Path | None = None,
        params: Mapping[str, str] | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply | Fault:
        began_s = time.perf_counter()
        try:
            async with self._session.request(
                method,
                f"{self._base_url}{place}",
                params={**self._query, **(params or {})},
                data=data,
                headers=headers,
                proxy=self._proxy,
                allow_redirects=False,
            ) as answer:
                if path is not None and answer.status == 200:
                    await _save(answer, path)
                    content = b""
                else:
                    content = await answer.content.read(_MOST_REPLY_BYTES)
                    while not answer.content.at_eof() and len(content) < _MOST_REPLY_BYTES:
                        content += await answer.content.read(_MOST_REPLY_BYTES)
                kept = {name: answer.headers[name] for name in _HEADERS_READ if name in answer.headers}
                return Reply(answer.status, kept, self.hidden(content), time.perf_counter() - began_s)
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            return fault_of(error, began_s)


async def _save(answer: aiohttp.ClientResponse, path: Path) -> None:
    """Write a body to a file, which is complete when this returns."""
    partial = path.with_name(f"{path.name}.part")
    with _opened(partial, "wb") as file:
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            with _writing(partial):
                file.write(chunk)
    with _writing(partial):
        partial.replace(path)


def _opened(path: Path, mode: str) -> IO[bytes]:
    with _writing(path):
        return cast("IO[bytes]", path.open(mode))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell an error of the disk from one of the network."""
    try:
        yield
    except OSError as problem:
        cure = "make room, or make it writable, and run the same command again to resume"
        raise RunDirectoryError(f"{path}: cannot be read or written ({problem.strerror}); {cure}") from problem
