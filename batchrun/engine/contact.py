"""What a run knows and says of an endpoint: whether it ever replied, why it is paused, and what its user can do."""

import contextlib
import dataclasses
from collections.abc import Collection, Mapping

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.endpoint.advice import cure_for, list_cure, place_of, unheard_cure, without_successor
from batchrun.endpoint.diagnosis import finding
from batchrun.endpoint.key import key_variable
from batchrun.endpoint.pool.rules import Policy
from batchrun.endpoint.pool.verdicts import UNHEARD
from batchrun.engine.access import Access
from batchrun.errors import BatchrunError
from batchrun.job.sections import Job, Limits
from batchrun.records import Closed, GivenUp, Loosened, Narrowed, Paused, Request, Resumed, Stop
from batchrun.report.texts import counted, duration_text
from batchrun.results.endpoints import earlier_endpoints
from batchrun.results.requests import requests_of

_MOST_LOOKED_AT = 1_000
"""Answers among which one of each model is found: they are in the order of rows, and each row asks all models."""


class Contact:
    """One execution's view of one of its endpoints."""

    def __init__(self, job: Job, access: Access, store: Store, name: str = "") -> None:
        """Read what is known.

        Args:
            job: that is run.
            access: to the endpoint.
            store: the checkpoint.
            name: of the endpoint; empty where the job has one.
        """
        self._job, self._access, self._store, self._name = job, access, store, name
        self._endpoint = endpoint = job.endpoints[name]
        self._is_real = access.base_url == endpoint.base_url  # else the simulator answers
        self._is_noted = not self._is_real
        self.is_heard = self._is_known()
        """Whether the endpoint has replied to an earlier execution of this run."""
        self.answered = self._known_models()
        """The models that have answered rows of this run at this endpoint."""
        self.place = f"{name} ({endpoint.base_url})" if name else place_of(endpoint)
        """The endpoint, in messages."""
        self.policy = policy_of(job.limits)
        """How often and how long to try."""

    def _is_known(self) -> bool:
        url, heard = self._endpoint.base_url, self._store.fact(facts.HEARD)
        if heard is not None:
            return self._endpoint.identity in heard or url in heard
        has_answers = any(sums.completed for sums in self._store.totals.values())  # of a version that noted less
        return has_answers and set(earlier_endpoints(self._store)) <= {url}

    def _known_models(self) -> list[str]:
        completed = [model for model, sums in self._store.totals.items() if sums.completed]
        answered = self._store.fact(facts.ANSWERED)
        if not self._is_real:
            return completed
        if answered is None:  # of a version that noted less
            return completed if set(earlier_endpoints(self._store)) <= {self._endpoint.base_url} else []
        return answered.get(self._endpoint.identity) or answered.get(self._endpoint.base_url, [])

    def answered_before(self, model: str) -> Request | None:
        """Return the request of the first row that a model has answered; None if none can be made again."""
        directory = self._job.run_directory
        with contextlib.suppress(BatchrunError):
            with Checkpoint(directory) as checkpoint:
                rows = [each.row for each in checkpoint.answered(_MOST_LOOKED_AT) if each.model == model]
            for found in requests_of(directory, rows[0]) if rows else ():
                is_answered = found.outcome is not None and found.outcome.kind is None
                if found.request.model == model and is_answered and found.is_same:
                    return found.request
        return None

    def note_answered(self, models: Collection[str]) -> None:
        """Record which models have answered rows."""
        own, noted = self._endpoint.identity, self._store.fact(facts.ANSWERED)
        if not self._is_real or not models or (noted is not None and {*models} <= {*noted.get(own, [])}):
            return
        if noted is None:  # answers of an older version are of all endpoints before
            has_answers = any(sums.completed for sums in self._store.totals.values())
            url, earlier = self._endpoint.base_url, earlier_endpoints(self._store) if has_answers else []
            noted = {each: [] for each in earlier if each != url}
        self._store.set_fact(facts.ANSWERED, noted | {own: sorted({*noted.get(own, []), *models})})

    def note_heard(self) -> None:
        """Record that the endpoint has replied."""
        if not self._is_noted:
            self._is_noted = True
            own, heard = self._endpoint.identity, self._store.fact(facts.HEARD) or []
            self._store.set_fact(facts.HEARD, [*(each for each in heard if each != own), own])

    def cure_of(self, kind: str, model: str) -> str:
        """Return what the user can do about a stop of this kind."""
        if kind == UNHEARD:
            return unheard_cure(self._endpoint, self._job.limits.patience_s)
        return cure_for(kind, self._endpoint, has_key=self._access.has_key, model=model)

    def text(
        self,
        event: Paused | Resumed | Closed | GivenUp | Loosened | Narrowed,
        *,
        is_heard: bool,
        is_served_elsewhere: bool = False,
    ) -> str:
        """Return the line of the log for an event.

        Args:
            event: at this endpoint.
            is_heard: whether the endpoint has ever replied.
            is_served_elsewhere: whether another endpoint is left for the model.
        """
        at = self._at(event)
        if isinstance(event, Resumed):
            return f"the endpoint answers again{self._whose(event)} after {duration_text(event.after_s)}"
        if isinstance(event, Closed):
            others = "endpoints" if is_served_elsewhere else "models"
            reason = event.message if event.message.endswith(("?", "!", ".")) else f"{event.message}."
            return f"nothing more is sent to {event.model}{at}: {reason} The other {others} continue"
        if isinstance(event, GivenUp):
            if event.is_last and not event.slowest_s:
                given_up = f"{counted(event.requests, 'request')} in flight{self._whose(event)}: given up"
                return f"{given_up}, because no answer has come so far; the rows stay open"
            late = f"{counted(event.requests, 'request')} got no answer within {duration_text(event.after_s)}"
            slowest = f"the slowest answer so far took {duration_text(event.slowest_s)}"
            if not event.slowest_s:
                slowest = "none has come so far"
            then = "given up; the rows stay open" if event.is_last else "given up, and sent again once"
            return f"{late}{self._whose(event)} ({slowest}): {then}"
        if isinstance(event, Loosened):
            without = "the schema is sent without it, and answers are checked as before"
            return f"strict is refused{self._whose(event)} ({event.message.rstrip('.')}); {without}"
        if isinstance(event, Narrowed):
            return self._narrowed_text(event)
        return self._pause_text(event) if is_heard else self._unheard_text(event)

    def _narrowed_text(self, event: Narrowed) -> str:
        why = f" ({event.message.rstrip('.')})"
        asked = f"{event.asked:,} {'rows in one request' if event.are_rows else 'samples in one request (n)'}"
        what = f"{asked} are refused{self._whose(event)}{why}"
        if not event.message:
            what = f"of {asked}, {event.most:,} came back{self._whose(event)}"
        if event.most > 1:
            return f"{what}; from now on a request asks for {event.most:,} at most"
        if event.are_rows:
            return f"{what}; from now on each is a request of its own"
        return f"{what}; from now on each is a request of its own, and its prompt is paid for again"

    def _pause_text(self, event: Paused) -> str:
        variable = key_variable(self._endpoint)
        keyless = "" if self._access.has_key else f" (no key is sent: {variable} is not set)"
        probing = f"asking again until it answers, for at most {_patience_text(self.policy.patience_s, event)}"
        return f"paused{self._whose(event)} ({event.kind}): {event.message}{keyless}; {probing}"

    def _unheard_text(self, event: Paused) -> str:
        on = f" on node {event.node}" if event.node else ""
        asking = f"asking again for at most {_patience_text(self.policy.unheard_s, event)}"
        if len(self._job.endpoints) > 1:
            asking += ", longer while another endpoint answers"
        elif event.node:
            asking += ", longer while another node answers"
        return (
            f"nothing has answered yet at {self.place}{on}: {event.message}; {asking}; "
            f"{self.cure_of(UNHEARD, event.model)}"
        )

    def _whose(self, event: Paused | Resumed | GivenUp | Loosened | Narrowed) -> str:
        at = self._at(event)
        return at if len(self._job.asked_models) == 1 else f" for {event.model}{at}"

    def _at(self, event: Paused | Resumed | Closed | GivenUp | Loosened | Narrowed) -> str:
        at = f" at {self._name}" if self._name else ""
        return f"{at} on node {event.node}" if event.node else at

    async def explained(self, stop: Stop | None, closed: Mapping[str, Stop]) -> Stop | None:
        """Return the reason to stop, with what is wrong with the URL or with a model's name, as far as asking shows.

        Args:
            stop: of the run.
            closed: the models that nothing more is sent to at this endpoint, and why.
        """
        if stop is None or not self._is_real:
            return stop
        unknown = [model for model, each in closed.items() if each.kind == stop.kind == "model_not_found"]
        if not (
            found := await finding(
                stop.kind, self._access, without_successor(unknown, self._endpoint), self._job.asked_models
            )
        ):
            return stop
        general = list_cure(self._endpoint) if unknown else self.cure_of(stop.kind, "")
        message = stop.message.replace(f"; {general}", "")  # what was found is the better cure
        return dataclasses.replace(
            stop, message=f"{message}; {self._name}: {found}" if self._name else f"{message}; {found}"
        )


def _patience_text(patience_s: float, event: Paused) -> str:
    """Return the patience for people, and how much of it is over where that is a second or more."""
    over = f", {duration_text(event.silent_s)} of which are over" if event.silent_s >= 1 else ""
    return f"{duration_text(patience_s)}{over}"


def policy_of(limits: Limits) -> Policy:
    """Return the policy of a job's limits. A patience that the user has given holds from the first request on."""
    policy = Policy(max_attempts=limits.max_attempts, timeout_s=limits.timeout_s)
    if limits.patience_s is None:
        return policy
    return dataclasses.replace(policy, patience_s=limits.patience_s, unheard_s=limits.patience_s)
