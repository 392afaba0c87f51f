"""The paths of files and batches: requests become files and batches, these become replies."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import BodyPartReader, web

from batchrun.simulator.batches.batch import Batch
from batchrun.simulator.batches.files import Files
from batchrun.simulator.batches.lines import Model
from batchrun.simulator.batches.work import Worker
from batchrun.simulator.errors import Problem, RejectedError, bad_request
from batchrun.simulator.gate import check_caller
from batchrun.simulator.kinds.table import KINDS

_ENDPOINTS = {f"/v1{path}": kind for path, kind in KINDS.items() if path not in ("/rerank", "/score")}

_CHUNK_BYTES = 1 << 20

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Service:
    """Serves files and batches."""

    def __init__(self, model: Model, refusal: Callable[[RejectedError], web.Response]) -> None:
        self._model, self._refusal = model, refusal
        self._files, self._batches = Files(), dict[str, Batch]()
        self._listed_s: dict[str, float] = {}  # when a batch appears in lists
        self._worker = Worker(self._files, model, self._batches)

    def add_to(self, app: web.Application) -> None:
        """Add the paths to an application."""
        router = app.router
        router.add_post("/v1/files", self._checked(self._upload))
        router.add_post("/v1/files/upload", self._checked(self._upload))
        router.add_get("/v1/files", self._checked(self._list_files))
        router.add_get("/v1/files/{id}", self._checked(self._file))
        router.add_delete("/v1/files/{id}", self._checked(self._delete))
        router.add_get("/v1/files/{id}/content", self._checked(self._content))
        router.add_post("/v1/batches", self._checked(self._create))
        router.add_get("/v1/batches", self._checked(self._list))
        router.add_get("/v1/batches/{id}", self._checked(self._retrieve))
        router.add_post("/v1/batches/{id}/cancel", self._checked(self._cancel))
        app.on_cleanup.append(lambda _: self._worker.close())

    @property
    def books(self) -> dict[str, Any]:
        """What was created and answered, for `GET /stats`."""
        batches = [*self._batches.values()]  # at once: tests look from another thread
        return {
            "created": len(batches),
            "by_status": dict(Counter(each.status for each in batches)),
            "files": len(self._files.all("batch")),
            "lines": sum(len(each.lines) for each in batches),
            "answered": sum(each.completed for each in batches),
            "failed": sum(each.failed for each in batches),
            "billed_tokens": {
                "prompt": sum(each.usage["input_tokens"] for each in batches),
                "completion": sum(each.usage["output_tokens"] for each in batches),
            },
        }

    def _checked(self, handler: Handler) -> Handler:
        async def serve(request: web.Request) -> web.Response:
            try:
                check_caller(request.headers, self._model.settings())
                return await handler(request)
            except RejectedError as error:
                return self._refusal(error)

        return serve

    # Files.

    async def _upload(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            raise bad_request("Invalid content type: a file is uploaded as multipart/form-data.")
        fields: dict[str, tuple[str, bytes]] = {}
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name:
                fields[part.name] = (part.filename or "", await self._read(part))
        for name in ("purpose", "file"):
            if name not in fields:
                raise bad_request(f"Missing required parameter: '{name}'.", param=name)
        purpose = fields["purpose"][1].decode("utf-8", "replace")
        if self._is_together:
            if purpose != "batch-api" or "file_name" not in fields or not request.path.endswith("/upload"):
                raise bad_request("Together takes files of the purpose batch-api with a file_name, at /files/upload.")
            purpose = "batch"
        if purpose not in ("batch", "assistants", "fine-tune", "vision", "user_data", "evals"):
            raise bad_request(f"Invalid value for 'purpose': {purpose!r}.", param="purpose")
        filename, content = fields["file"]
        return _json(self._files.add(filename or "file", purpose, content, self._owner(request)).entry)

    async def _read(self, part: BodyPartReader) -> bytes:
        read = bytearray()
        while chunk := await part.read_chunk(_CHUNK_BYTES):
            read += chunk
            if len(read) > self._model.settings().batch_bytes:
                raise RejectedError(Problem(413, "The file is too large.", param="file"))
        return bytes(read)

    async def _list_files(self, request: web.Request) -> web.Response:
        files = self._files.all(request.query.get("purpose"), self._owner(request))
        return _json(_page([each.entry for each in files], request.query, most=10_000, usual=10_000))

    async def _file(self, request: web.Request) -> web.Response:
        return _json(self._files.find(request.match_info["id"], self._owner(request)).entry)

    async def _delete(self, request: web.Request) -> web.Response:
        self._files.delete(request.match_info["id"], self._owner(request))
        return _json({"id": request.match_info["id"], "object": "file", "deleted": True})

    async def _content(self, request: web.Request) -> web.Response:
        file = self._files.find(request.match_info["id"], self._owner(request))
        return web.Response(body=file.content, content_type="application/octet-stream")

    # Batches.

    async def _create(self, request: web.Request) -> web.Response:
        try:
            asked = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            asked = None
        if not isinstance(asked, dict):
            raise bad_request("We could not parse the JSON body of your request.")
        owner = self._owner(request)
        file = self._files.find(str(_wanted(asked, "input_file_id")), owner)
        endpoint, window = str(_wanted(asked, "endpoint")), str(_wanted(asked, "completion_window"))
        if file.purpose != "batch":
            raise bad_request("The input file must have the purpose 'batch'.", param="input_file_id")
        if endpoint not in _ENDPOINTS:
            raise bad_request(f"Invalid value: {endpoint!r}.", param="endpoint", code="invalid_value")
        if window != "24h":
            raise bad_request(f"Invalid value: {window!r}. Supported values are: '24h'.", param="completion_window")
        settings, now_s = self._model.settings(), time.time()
        batch = Batch(endpoint, file.id, window, _metadata(asked), now_s, now_s + settings.batch_window_s, owner)
        self._batches[batch.id] = batch
        self._listed_s[batch.id] = now_s + settings.batch_list_lag_s
        self._worker.start(batch, _ENDPOINTS[endpoint])
        reply = self._shown(batch)
        await asyncio.sleep(settings.batch_reply_s)  # a client that leaves meanwhile has created it anyway
        return _json({"job": reply} if self._is_together else reply)

    async def _list(self, request: web.Request) -> web.Response:
        now_s = time.time()
        own = (each for each in reversed(self._batches.values()) if each.owner == self._owner(request))
        shown = [self._shown(each) for each in own if self._listed_s[each.id] <= now_s]
        if self._is_together:
            return _json(shown)
        return _json(_page(shown, request.query, most=100, usual=20))

    async def _retrieve(self, request: web.Request) -> web.Response:
        return _json(self._shown(self._find(request)))

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._find(request)
        if batch.is_done:
            raise RejectedError(Problem(409, f"Cannot cancel a batch with status '{batch.status}'."))
        batch.become("cancelling", time.time())
        return _json(self._shown(batch))

    @property
    def _is_together(self) -> bool:
        return self._model.settings().batch_together

    def _shown(self, batch: Batch) -> dict[str, Any]:
        return batch.together_entry if self._is_together else batch.entry

    def _owner(self, request: web.Request) -> str:
        """Return the account of a request: its key, where each key is an account of its own."""
        return request.headers.get("Authorization", "") if self._model.settings().batch_accounts else ""

    def _find(self, request: web.Request) -> Batch:
        batch_id = request.match_info["id"]
        if batch_id not in self._batches or self._batches[batch_id].owner != self._owner(request):
            raise RejectedError(Problem(404, f"No batch found with id '{batch_id}'.", param="batch_id"))
        return self._batches[batch_id]


def _wanted(asked: Mapping[str, Any], name: str) -> Any:
    if not asked.get(name):
        raise bad_request(f"Missing required parameter: '{name}'.", param=name)
    return asked[name]


def _metadata(asked: Mapping[str, Any]) -> dict[str, str] | None:
    """Return what a caller attaches: at most 16 texts of at most 512 characters, under names of at most 64."""
    stated = asked.get("metadata")
    if stated is None:
        return None
    is_sound = isinstance(stated, dict) and len(stated) <= 16
    if not is_sound or any(
        len(key) > 64 or not isinstance(each, str) or len(each) > 512 for key, each in stated.items()
    ):
        raise bad_request("Invalid 'metadata'.", param="metadata")
    return dict(stated)


def _page(entries: Sequence[dict[str, Any]], query: Mapping[str, str], *, most: int, usual: int) -> dict[str, Any]:
    """Return one page of a list: those after `after`, at most `limit`."""
    try:
        limit = int(query.get("limit", usual))
    except ValueError:
        limit = 0
    if not 1 <= limit <= most:
        raise bad_request(f"Invalid 'limit': expected a value between 1 and {most}.", param="limit")
    ids = [each["id"] for each in entries]
    after = query.get("after")
    if after is not None and after not in ids:
        raise bad_request(f"Invalid 'after': there is no {after!r}.", param="after")
    first = ids.index(after) + 1 if after is not None else 0
    shown = list(entries[first : first + limit])
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": first + limit < len(entries),
    }


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
