"""Asks the provider for files and batches, as long as its outages last: what is left are replies, and refusals."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import random
from typing import Any, Protocol

import orjson

from batchrun.endpoint.batches.client import PAGE, BatchClient
from batchrun.endpoint.batches.state import BatchState, read_state
from batchrun.endpoint.pool.closure import REFUSED
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.retry import Backoff, advised_s, backoff_s
from batchrun.endpoint.pool.rules import Policy
from batchrun.endpoint.pool.verdicts import EFFECTS, UNHEARD, ForRow, Verdict
from batchrun.records import Event, Fault, Paused, Reply, Resumed, Stop

_BACKOFF = Backoff(base_s=0.5, cap_s=60.0)
"""Waits between two attempts: a batch takes hours, so that a minute more is nothing."""

_PAUSED_AFTER_S = 3.0
"""How long nothing works until that is reported."""

_MOST_PAGES = 50
"""Pages of batches that are looked through: 5,000 batches."""

Ask = Callable[[], Awaitable[Reply | Fault]]


class Halted(Exception):  # caught by the pool, which stops the run
    """Nothing more can be sent."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.message)
        self.stop = stop


class Gone(Exception):  # caught by who asked
    """The provider does not have the file or the batch that was asked for."""


class Refused(Exception):  # caught by who asked
    """The provider does not take what was sent."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class Known(Protocol):
    """What is known of the endpoint; see `Contact`."""

    place: str
    policy: Policy

    @property
    def is_heard(self) -> bool: ...  # noqa: D102

    def cure_of(self, kind: str, model: str) -> str: ...  # noqa: D102


class Provider:
    """The files and batches of one endpoint."""

    def __init__(self, client: BatchClient, known: Known, on_event: Callable[[Event], None], model: str) -> None:
        """Begin.

        Args:
            client: makes one exchange.
            known: of the endpoint.
            on_event: takes pauses and their ends.
            model: in whose name pauses are reported.
        """
        self._client, self._known, self._on_event, self._model = client, known, on_event, model
        self.is_heard = known.is_heard
        """Whether it has ever replied."""
        self._failing_s: float | None = None  # since when nothing works
        self._is_paused = False
        self.hidden = client.hidden
        """Returns what was received without secrets."""

    @property
    def trouble(self) -> str | None:
        """Why nothing works now; None while it does."""
        return self._trouble if self._failing_s is not None and self._is_paused else None

    @property
    def since_s(self) -> float | None:
        """Since when nothing works, on the loop's clock."""
        return self._failing_s

    def cure_of(self, kind: str, model: str) -> str:
        """Return what the user can do about a refusal."""
        return self._known.cure_of(kind, model)

    async def upload(self, path: Path, name: str) -> str:
        """Upload an input file; return its name there."""
        entry = _entry(await self._ask(lambda: self._client.upload(path, name), "/files"))
        return str(entry["id"])

    async def create(self, file: str, endpoint: str, metadata: Mapping[str, str]) -> BatchState | None:
        """Create a batch once; return None where it is not known whether it was created."""
        result = await self._client.create(file, endpoint, metadata)
        if isinstance(result, Reply) and result.is_success:
            self._works()
            return _state(result)
        verdict = judge(result)
        if isinstance(result, Fault) or result.status >= 500:
            await self._wait(result, verdict, 1)
            return None
        if _may_pass(verdict):  # turned away: it was not created
            await self._wait(result, verdict, 4)
            return None
        self._refuse(result, verdict, "/batches")
        raise AssertionError("it raises")

    async def retrieve(self, name: str) -> BatchState:
        """Return the state of a batch."""
        return _state(await self._ask(lambda: self._client.retrieve(name), f"/batches/{name}"))

    async def cancel(self, name: str) -> None:
        """Cancel a batch; one that has ended stays as it is."""
        try:
            await self._ask(lambda: self._client.cancel(name), f"/batches/{name}/cancel", is_tried_once=True)
        except Refused:
            return  # it has ended meanwhile: the next look shows how

    async def download(self, file: str, path: Path) -> None:
        """Write an output file to a path."""
        await self._ask(lambda: self._client.download(file, path), f"/files/{file}/content")

    async def batches(self, since_s: float) -> list[BatchState]:
        """Return the batches of the account that were created since a Unix time; the newest first."""
        found: list[BatchState] = []
        after: str | None = None
        for _ in range(_MOST_PAGES):
            reply = await self._ask(lambda after=after: self._client.page(after), "/batches")  # type: ignore[misc]
            read = orjson.loads(reply.body)
            data = read.get("data", []) if isinstance(read, dict) else read  # Together's is a list
            states = [state for each in data if (state := read_state(each)) is not None]
            found += states
            has_more = bool(read.get("has_more", len(states) == PAGE)) if isinstance(read, dict) else False
            if not states or not has_more or 0 < states[-1].created_s < since_s:
                break
            after = states[-1].id
        return found

    # Patience.

    async def _ask(self, ask: Ask, place: str, *, is_tried_once: bool = False) -> Reply:
        """Ask until there is a reply, whatever outage comes first.

        Raises:
            Gone: there is no such thing.
            Refused: what was sent is not taken.
            Halted: nothing is taken, or the patience is over.
        """
        attempt = 0
        while True:
            result = await ask()
            attempt += 1
            if isinstance(result, Reply) and result.is_success:
                self._works()
                return result
            verdict = judge(result)
            if not _may_pass(verdict) or (is_tried_once and isinstance(result, Reply) and result.status == 409):
                assert isinstance(result, Reply)
                self._refuse(result, verdict, place)
            await self._wait(result, verdict, attempt)

    def _works(self) -> None:
        self.is_heard = True
        if self._failing_s is not None and self._is_paused:
            self._on_event(Resumed(self._model, asyncio.get_running_loop().time() - self._failing_s))
        self._failing_s, self._is_paused = None, False

    async def _wait(self, result: Reply | Fault, verdict: Verdict, attempt: int) -> None:
        """Wait until the next attempt; give up when the patience is over."""
        self.is_heard = self.is_heard or isinstance(result, Reply)
        now_s = asyncio.get_running_loop().time()
        self._failing_s = now_s if self._failing_s is None else self._failing_s
        lasted_s, policy = now_s - self._failing_s, self._known.policy
        self._trouble = verdict.message
        assert verdict.kind is not None
        patience_s = policy.patience_s if self.is_heard else policy.unheard_s
        if lasted_s >= patience_s:
            self._give_up(verdict)
        if lasted_s >= _PAUSED_AFTER_S and not self._is_paused:
            self._is_paused = True
            self._on_event(Paused(self._model, verdict.kind, verdict.message, lasted_s))
        advised = advised_s(result, verdict, 0.0)
        await asyncio.sleep(max(advised or 0.0, min(backoff_s(attempt, _BACKOFF, random), patience_s)))

    def _give_up(self, verdict: Verdict) -> None:
        known = self._known
        if not self.is_heard:
            cure = known.cure_of(UNHEARD, self._model)
            message = f"nothing has answered at {known.place}: {verdict.message}; {cure}"
            raise Halted(Stop(kind=UNHEARD, message=message, exit_code=REFUSED))
        message = f"{known.place} was away for too long: {verdict.message}; run the same command again to resume"
        raise Halted(Stop(kind=verdict.kind or "connection", message=message, exit_code=5))

    def _refuse(self, reply: Reply, verdict: Verdict, place: str) -> None:
        """Raise what a refusal means."""
        self.is_heard = True
        assert verdict.kind is not None
        effect = EFFECTS[verdict.kind]
        is_missing = reply.status in (404, 405, 410)
        if is_missing and place == "/files":
            raise Halted(self._without_batches(reply.status))
        if is_missing:
            raise Gone(verdict.message)
        if effect.row is ForRow.OPEN:
            cure = self._known.cure_of(verdict.kind, self._model)
            message = f"{verdict.kind}: {verdict.message}; {cure}"
            raise Halted(Stop(kind=verdict.kind, message=message, exit_code=effect.run.exit_code or REFUSED))
        raise Refused(verdict)

    def _without_batches(self, status: int) -> Stop:
        place = self._known.place
        why = f"{place} has no files and batches (HTTP {status} at /files)"
        return Stop(kind="model_not_found", message=f"{why}; leave out --via batch", exit_code=REFUSED)


def _may_pass(verdict: Verdict) -> bool:
    """Return whether the same request may be taken later."""
    assert verdict.kind is not None
    row = EFFECTS[verdict.kind].row
    return row in (ForRow.AGAIN, ForRow.AGAIN_AT_A_QUARTER, ForRow.AGAIN_FREE)


def _entry(reply: Reply) -> dict[str, Any]:
    read = orjson.loads(reply.body)
    return read if isinstance(read, dict) else {}


def _state(reply: Reply) -> BatchState:
    state = read_state(_entry(reply))
    if state is None:
        raise Refused(Verdict("bad_reply", "the reply is not a batch", judge(reply).usage))
    return state
