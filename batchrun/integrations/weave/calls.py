"""Sends the requests of a run to Weave, as traced calls.

They go to the server a batch at a time, by the SDK's own client of the server, which says whether they arrived: what
the SDK sends in the background is only logged when it fails. Their ids are made of the run, so that the same call is
known again: those that the ledger does not have are looked for on the server before they are sent.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from batchrun import __version__
from batchrun.integrations.record import Call
from batchrun.integrations.weave.session import Session, status_of

_BATCH_BYTES = 4 << 20
"""Of calls that are sent at once, roughly. The server takes about 30 MiB."""

_REFUSED = (400, 413, 422)
"""What the server says of calls that it will never take."""


class Calls:
    """The requests of one publication."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sent = self._refused = 0

    def send(self) -> None:
        """Send the requests that are not there yet."""
        record, ledger, say = self._session.record, self._session.ledger, self._session.say
        op = None
        known = 0
        for batch in record.calls():
            calls = {record.call_id(each.outcome, self._session.place): each for each in batch}
            unsent = ledger.unsent(list(calls))
            if unsent:
                unsent -= self._there(unsent)
                op = op or self._op()
                self._send_all(self._shown(name, call, op) for name, call in calls.items() if name in unsent)
                ledger.add(calls)
                say(f"weave: {self._sent:,} calls sent")
            known += len(calls) - len(unsent)
        refused = f", {self._refused:,} refused by the server" if self._refused else ""
        say(f"weave: {self._session.project}: {self._sent:,} calls sent, {known:,} were there before{refused}")
        for notice in record.notices:
            say(f"weave: {notice}")

    def _there(self, ids: set[str]) -> set[str]:
        """Return those of some calls that the server has: of a batch whose answer never came, or without its ledger."""
        asked = {"project_id": self._session.project, "filter": {"call_ids": sorted(ids)}, "columns": ["id"]}
        return {str(each.id) for each in self._session.client.server.calls_query_stream(asked)} & ids

    def _op(self) -> str:
        """Publish what the calls are calls of; return its name."""
        op = self._session.weave.op(chat_completion, name="batchrun.chat_completion", enable_code_capture=False)
        return self._session.publish(op)

    def _send_all(self, calls: Iterable[dict[str, Any]]) -> None:
        batch: list[dict[str, Any]] = []
        size = 0
        for call in calls:
            batch.append(call)
            size += len(orjson.dumps(call))
            if size >= _BATCH_BYTES:
                self._send(batch)
                batch, size = [], 0
        if batch:
            self._send(batch)

    def _send(self, batch: list[dict[str, Any]]) -> None:
        """Send calls; of those that the server refuses together, each half for itself."""
        try:
            self._session.client.server.calls_complete({"batch": batch})
            self._sent += len(batch)
        except Exception as problem:
            if status_of(problem) not in _REFUSED:
                raise
            if len(batch) == 1:
                self._refused += 1
                return
            middle = len(batch) // 2
            self._send(batch[:middle])
            self._send(batch[middle:])

    def _shown(self, call_id: str, call: Call, op: str) -> dict[str, Any]:
        """Return a request as Weave has its calls: chat completions, which it shows as conversations."""
        outcome, record = call.outcome, self._session.record
        usage = {name: count for name, count in outcome.usage._asdict().items() if count is not None}
        counts = {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens") if name in usage}
        failed = call.error is not None
        return {
            "project_id": self._session.project,
            "id": call_id,
            "trace_id": call_id,
            "op_name": op,
            "display_name": None,
            "parent_id": None,
            "started_at": call.began.isoformat(),
            "ended_at": call.ended.isoformat(),
            "inputs": call.sent or {"model": outcome.model},
            "output": call.reply,
            "exception": call.error,
            "attributes": {
                "batchrun": {
                    "run": record.name,
                    "row": outcome.row,
                    "custom_id": outcome.custom_id or str(outcome.row),
                    "model": outcome.model,
                    "sample": outcome.sample,
                    "error_kind": outcome.kind,
                    "http_status": outcome.http_status,
                    "simulated": record.summary.simulated,
                    "version": __version__,
                }
            },
            "summary": {
                "usage": {outcome.model: {"requests": 1, **counts}} if counts else {},
                "status_counts": {"success": int(not failed), "error": int(failed)},
                "cost_usd": call.cost_usd,
                "latency_s": outcome.latency_s,
                "attempts": outcome.attempts,
                "cached_tokens": outcome.usage.cached_tokens,
                "reasoning_tokens": outcome.usage.reasoning_tokens,
            },
        }


def chat_completion(model: str, messages: list[dict[str, Any]]) -> Any:
    """Stand for what was called: the endpoint of the run. Is never called."""
    raise NotImplementedError
