"""Sends the requests of a run to Weave, as traced calls.

They go to the server in batches, through the SDK's own client of the server, which reports whether they arrived. What
the SDK sends in the background is only logged when it fails. Call ids are derived from the run, so that a call is
recognised later: calls that are not in the ledger are looked up on the server before they are sent. A sent call cannot
be corrected, so calls whose request the input no longer has are left out and not recorded.
"""

from functools import cached_property
from typing import Any

from batchrun import __version__
from batchrun.errors import PublishError
from batchrun.publish.errors import reason_of, status_of
from batchrun.publish.requests import Call, Requests
from batchrun.publish.weave.evaluations import MOST_ROWS, usage_of
from batchrun.publish.weave.session import Session
from batchrun.records import Outcome
from batchrun.report.texts import counted

_REFUSED = (400, 413, 422)
"""The statuses with which the server refuses calls."""


class Calls:
    """The requests of one publication."""

    def __init__(self, session: Session) -> None:
        self._session, self._requests = session, Requests(session.record)
        self._sent = self._known = self._lost = self._refused = 0
        self._reason = ""
        self.ids: dict[tuple[int, str, int], str] = {}
        """Row, model and sample → id of the call, for the rows in evaluations."""

    def send(self) -> None:
        """Send the requests that the server does not have yet."""
        record, ledger, say = self._session.record, self._session.ledger, self._session.say
        evaluated = record.chosen(MOST_ROWS) if record.summary.scores else ()
        for batch in self._requests.calls():
            calls = {self._requests.id_of(each, self._session.place): each for each in batch}
            self.ids |= {_place(call.outcome): name for name, call in calls.items() if call.outcome.row in evaluated}
            unsent = ledger.unsent(list(calls))
            self._known += len(calls) - len(unsent)
            if unsent:
                self._send_new({name: call for name, call in calls.items() if name in unsent})
                say(f"weave: {counted(self._sent, 'call')} sent")
            if self._refused and not self._sent and not self._known:
                self.check()  # the server refuses all of them
        say(f"weave: {self._session.project}: {counted(self._sent, 'call')} sent, {self._known:,} already published")

    def check(self) -> None:
        """Raise `PublishError` where calls were left out. The next publication tries them again."""
        problems = []
        if self._refused:
            refused = counted(self._refused, "call")
            problems.append(f"the server refused {refused} ({self._reason}); publish again to retry")
        if self._lost:
            why = self._requests.trouble or "it has changed since the run"
            cure = "restore the input, or run the job again, and publish again"
            lost = f"{counted(self._lost, 'call')} left out because the input no longer has their requests"
            problems.append(f"{lost}: {why}; {cure}")
        if problems:
            raise PublishError(f"weave: {self._session.project}: {'; '.join(problems)}")

    def _send_new(self, calls: dict[str, Call]) -> None:
        """Send calls that are not in the ledger, and record those that the server has then."""
        there = self._there(set(calls))
        self._known += len(there)
        lost = {name for name, call in calls.items() if call.is_lost} - there
        self._lost += len(lost)
        refused = self._send([self._shown(calls[name], name) for name in calls if name not in there | lost])
        self._refused += len(refused)
        self._session.ledger.add(calls.keys() - lost - refused)

    def _there(self, ids: set[str]) -> set[str]:
        """Return the calls that the server has: from a batch whose reply was lost, or published without this ledger."""
        asked = {"project_id": self._session.project_id, "filter": {"call_ids": sorted(ids)}, "columns": ["id"]}
        return {str(each.id) for each in self._session.client.server.calls_query_stream(asked)} & ids

    @cached_property
    def _op(self) -> str:
        """Publish the operation that the calls belong to; return its name."""
        op = self._session.weave.op(chat_completion, name="batchrun.chat_completion", enable_code_capture=False)
        return self._session.publish(op)

    def _send(self, batch: list[dict[str, Any]]) -> set[str]:
        """Send calls; send each half of a refused batch separately. Return the ids of the refused calls."""
        if not batch:
            return set()
        try:
            self._session.client.server.calls_complete({"batch": batch})
        except Exception as problem:
            if status_of(problem) not in _REFUSED:
                raise
            self._reason = self._reason or reason_of(problem)
            if len(batch) == 1:
                return {batch[0]["id"]}
            middle = len(batch) // 2
            return self._send(batch[:middle]) | self._send(batch[middle:])
        self._sent += len(batch)
        return set()

    def _shown(self, call: Call, call_id: str) -> dict[str, Any]:
        """Return a request as a call of Weave: a chat completion, which Weave shows as a conversation."""
        outcome = call.outcome
        return {
            "project_id": self._session.project_id,
            "id": call_id,
            "trace_id": call_id,
            "op_name": self._op,
            "display_name": None,
            "parent_id": None,
            "started_at": call.began.isoformat(),
            "ended_at": call.ended.isoformat(),
            "inputs": call.sent or {"model": outcome.model},
            "output": call.reply,
            "exception": call.error,
            "attributes": {"batchrun": self._attributes(outcome)},
            "summary": {
                "usage": usage_of(outcome.model, outcome.usage._asdict()),
                "status_counts": {"success": int(call.error is None), "error": int(call.error is not None)},
                "cost_usd": call.cost_usd,
                "latency_s": outcome.latency_s,
                "attempts": outcome.attempts,
                "reasoning_tokens": outcome.usage.reasoning_tokens,
            },
        }

    def _attributes(self, outcome: Outcome) -> dict[str, Any]:
        record = self._session.record
        return {
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


def _place(outcome: Outcome) -> tuple[int, str, int]:
    return outcome.row, outcome.model, outcome.sample


def chat_completion(model: str, messages: list[dict[str, Any]]) -> Any:
    """Represent the endpoint of the run as an operation. Never called."""
    raise NotImplementedError
