"""The endpoint: an aiohttp server that admits requests, answers them, makes faults and counts.

A request passes: key and project → a slot of its project → its body → requests and tokens per minute → a fault, if it
gets one → the model → delivery. A step that refuses it raises `RejectedError`; `_serve` makes the reply.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import orjson
from aiohttp import web

from batchrun.simulator.batches.lines import Model
from batchrun.simulator.batches.service import Service
from batchrun.simulator.chat import Chat, parse_chat
from batchrun.simulator.delivery import plan_body, plan_stream
from batchrun.simulator.errors import Problem, RejectedError, render, retry_headers
from batchrun.simulator.faults import FAULTS, Fault, Shares
from batchrun.simulator.gate import Fates, Minutes, check_caller, check_model, rejected
from batchrun.simulator.kinds.kind import Kind
from batchrun.simulator.kinds.table import KINDS
from batchrun.simulator.limits import InFlight
from batchrun.simulator.markers import Order
from batchrun.simulator.prefixes import PrefixCache
from batchrun.simulator.settings import Settings, SettingsError, as_json, changed
from batchrun.simulator.stats import Stats
from batchrun.simulator.visit import Visit, silence

_MAX_BODY_BYTES = 64 * 2**20
# More connections than a test opens at the same time; the kernel lowers it to its own maximum.
_BACKLOG = 4096
# The server never closes an idle connection first: a client that is just sending would get an unrequested fault.
_KEEPALIVE_S = 24 * 3600.0
_SOUND = Order(Fault("none", "the model answers"))


class Simulator:
    """A running endpoint: its address, its counts, and its settings, which can change while it runs."""

    def __init__(self, settings: Settings) -> None:
        self.base_url = ""
        self.port = 0
        self.stats = Stats()
        self.settings = settings
        self._in_flight = InFlight()
        self._minutes = Minutes()
        self._fates = Fates()
        self._prefixes = PrefixCache()
        self._random = Random(settings.seed)  # noqa: S311 - for latencies, not for secrets
        model = Model(
            settings=lambda: self._settings,
            shares=lambda: self._shares,
            fates=self._fates,
            cached=self._cached_tokens,
            bill=lambda key, usage: self.stats.bill(key, usage),
        )
        self._batches = Service(model, self._refusal)

    @property
    def settings(self) -> Settings:
        """The current settings; assign to change them for the next requests."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        self._shares = Shares(settings.error_shares)

    def change(self, **values: Any) -> None:
        """Change some settings, as `POST /control` does.

        Raises:
            SettingsError: a name is unknown or a value out of range; nothing has changed.
        """
        self.settings = changed(self._settings, values)

    def application(self) -> web.Application:
        """Return the aiohttp application that serves this endpoint."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        for path, kind in KINDS.items():
            app.router.add_post(f"/v1{path}", partial(self._serve, kind))
        self._batches.add_to(app)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/stats/requests", self._stats_requests)
        app.router.add_post("/control", self._control)
        return app

    async def _serve(self, kind: Kind, request: web.Request) -> web.StreamResponse:
        visit = Visit(request, self.stats, self._in_flight)
        try:
            response = await self._answered(visit, kind)
        except RejectedError as error:
            response = self._refusal(error)
        except asyncio.CancelledError:
            self.stats.clients_left += not visit.was_cut
            raise
        finally:
            visit.leave()
        self.stats.by_status[str(response.status)] += 1
        return response

    async def _answered(self, visit: Visit, kind: Kind) -> web.StreamResponse:
        check_caller(visit.request.headers, self._settings)
        visit.admit(self._settings.concurrency_limit)
        chat = await self._read(visit.request, kind)
        self._admit(visit, chat)
        order = self._fates.order(chat, self._shares, self._settings.seed)
        if order is None:
            return await self._model(visit, kind, chat, _SOUND)
        fault = order.fault
        self.stats.faults[fault.name] += 1
        if fault.problem or fault.canned or fault.delivery in ("cut", "silence"):
            return await self._fail(visit, order)
        return await self._model(visit, kind, chat, order)

    async def _read(self, request: web.Request, kind: Kind) -> Chat:
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise rejected("413") from None
        chat = parse_chat(raw, image_tokens=self._settings.image_tokens, as_chat=kind.as_chat)
        check_model(chat, self._settings)
        return chat

    def _admit(self, visit: Visit, chat: Chat) -> None:
        try:
            self._minutes.admit(visit.project, chat, self._settings, time.monotonic())
        except RejectedError as error:
            self.stats.rejected[f"{error.problem.type}_per_minute"] += 1
            raise

    async def _fail(self, visit: Visit, order: Order) -> web.StreamResponse:
        fault = order.fault
        await _sleep(self._settings.error_latency_s if order.wait_s is None else order.wait_s)
        if fault.problem:
            raise RejectedError(fault.problem, fault=fault.name, retry_after=order.retry_after)
        if fault.canned:
            status, body, content_type = fault.canned
            headers = {"Location": "/v1/elsewhere"} if status == 302 else None
            return web.Response(status=status, body=body, content_type=content_type, headers=headers)
        if fault.delivery == "cut":
            await visit.cut_off()
        return await silence()

    async def _model(self, visit: Visit, kind: Kind, chat: Chat, order: Order) -> web.StreamResponse:
        """Make the model's answer, bill it, and send it as the fault requires."""
        completion = kind.complete(chat, self._settings, cached_tokens=0, number=self.stats.received, now_s=time.time())
        usage, parts = completion["usage"], len(completion.get("choices") or completion.get("data") or "1")
        try:
            await _sleep(self._latency_s(chat, order, usage["completion_tokens"]))
        except asyncio.CancelledError:
            # The model generates to the end although the client has left, and that is billed; its slot is free anyway.
            if self._settings.bill_abandoned:
                self._bill(visit, chat, usage, parts)
                self.stats.waste(chat.key, received=False)
            raise
        self._bill(visit, chat, usage, parts)
        if order.fault.edit:
            order.fault.edit(completion)
        return await self._deliver(visit, kind, chat, order, completion)

    def _latency_s(self, chat: Chat, order: Order, tokens: int) -> float:
        settings, fault = self._settings, order.fault
        if fault.delivery != "drip" and (order.wait_s is not None or fault.wait_s is not None):
            return order.wait_s if order.wait_s is not None else fault.wait_s or 0.0
        latency_s = settings.latency_s
        if latency_s:
            latency_s = self._random.lognormvariate(math.log(latency_s), settings.latency_sigma)
        # A stream spends this time between its tokens; any other answer waits for its last token.
        return latency_s + (tokens / settings.tokens_per_s if settings.tokens_per_s and not chat.stream else 0)

    def _bill(self, visit: Visit, chat: Chat, usage: dict[str, Any], parts: int) -> None:
        usage["prompt_tokens_details"]["cached_tokens"] = self._cached_tokens(chat)
        self._minutes.spend(visit.project, usage["completion_tokens"], self._settings, time.monotonic())
        self.stats.bill(chat.key, usage)
        self.stats.parts += parts

    def _cached_tokens(self, chat: Chat) -> int:
        salt = str(chat.body.get("cache_salt", ""))
        return self._prefixes.cached_tokens(chat.model, salt, chat.prefix, chat.prefix_tokens)

    async def _deliver(
        self, visit: Visit, kind: Kind, chat: Chat, order: Order, completion: dict[str, Any]
    ) -> web.StreamResponse:
        fault, settings = order.fault, self._settings
        drip_s = (fault.wait_s if order.wait_s is None else order.wait_s) or 0.0
        if kind.events is not None and kind.streams(chat):
            events = kind.events(completion, chat)
            plan = plan_stream(events, fault.delivery, drip_s=drip_s, tokens_per_s=settings.tokens_per_s)
        else:
            plan = plan_body(kind.shown(completion, chat), fault.delivery, drip_s=drip_s)
        content_type = "text/event-stream" if kind.streams(chat) else "application/json"
        try:
            response = await visit.send(plan, content_type)
        except (asyncio.CancelledError, ConnectionError):
            self.stats.waste(chat.key, received=False)
            # aiohttp closes the connection on both, but it would log a ConnectionError as an error of the server.
            raise asyncio.CancelledError from None
        if fault.spoils:
            self.stats.waste(chat.key, received=True)
        return response

    def _refusal(self, error: RejectedError) -> web.Response:
        settings, problem = self._settings, error.problem
        own = FAULTS[error.fault].retry_after if error.fault else None
        by_setting = settings.retry_after.get(error.fault) or settings.retry_after.get(str(problem.status))
        wait = error.retry_after or by_setting or own
        headers = retry_headers(wait, now_s=time.time(), wait_s=error.wait_s) if wait else None
        body, content_type = render(problem, settings.error_shape)
        return web.Response(status=problem.status, body=body, content_type=content_type, headers=headers)

    async def _models(self, request: web.Request) -> web.Response:
        try:
            check_caller(request.headers, self._settings)
        except RejectedError as error:
            return self._refusal(error)
        models = [
            {"id": name, "object": "model", "created": 1_760_000_000, "owned_by": name.partition("/")[0]}
            for name in self._settings.models
        ]
        return _json({"object": "list", "data": models})

    async def _stats(self, _request: web.Request) -> web.Response:
        return _json({**self.stats.totals(), "batches": self._batches.books})

    async def _stats_requests(self, _request: web.Request) -> web.Response:
        return _json(self.stats.requests())

    async def _control(self, request: web.Request) -> web.Response:
        try:
            values = orjson.loads(await request.read())
            if not isinstance(values, dict):
                raise SettingsError("the body must be an object of settings")
            self.change(**values)
        except (orjson.JSONDecodeError, SettingsError) as error:
            return self._refusal(RejectedError(Problem(400, str(error))))
        return _json(as_json(self._settings))


@asynccontextmanager
async def serve(
    settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Simulator]:
    """Run a simulated endpoint inside the context.

    Args:
        settings: its behaviour; None: the defaults.
        host: address to listen on.
        port: port to listen on; 0: any free port.

    Raises:
        OSError: the server cannot listen on the address.
    """
    simulator = Simulator(settings or Settings())
    # A client that disconnects cancels its handler, which frees the slot: real servers do so whether they stop
    # generating or not. `bill_abandoned` says whether the answer is billed.
    runner = web.AppRunner(
        simulator.application(),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=_KEEPALIVE_S,
        shutdown_timeout=0.01,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        simulator.port = runner.addresses[0][1]
        simulator.base_url = f"http://{f'[{host}]' if ':' in host else host}:{simulator.port}/v1"
        yield simulator
    finally:
        await runner.cleanup()


async def _sleep(wait_s: float) -> None:
    if wait_s > 0:
        await asyncio.sleep(wait_s)


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
