"""Bundles in the pool: what the reply to one means for the requests in it, and how one that fails is halved. Pure.

A bundle is sent, rejected and sent again like any request. Its requests part when it is answered, each with its part of
the answer; one without a part is asked again alone. A bundle that would end as failed is halved instead, until the
request is alone that is at fault.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from batchrun.answers.envelope import read_reply
from batchrun.answers.kinds.shape import input_usage
from batchrun.answers.parts import Part, parts_of, split_usage
from batchrun.answers.shared_vectors import shared_answer
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.bundle_limit import BundleLimit
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.rules import Listeners
from batchrun.endpoint.pool.verdicts import ATTEMPT, EFFECTS, NO_REASON, ForRow, Verdict
from batchrun.records import Attempted, Fault, Outcome, Reply, Request, Spent

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of requests."""


class Settled(NamedTuple):
    """A request of a bundle, with its own reply and the verdict on it."""

    work: Work
    reply: Reply
    verdict: Verdict


def judge_bundle(request: Request, result: Reply | Fault) -> Verdict:
    """Return what the result means for a bundle: it is answered if any of its requests is."""
    if request.kind == "embeddings" and isinstance(result, Reply) and result.is_success:
        found = shared_answer(result.body, len(request.members))
        if found is not None:
            return Verdict(None, "", input_usage(found.answer), found.answer, shared=found.reply)
    verdict = judge(result, request.kind, request.body)
    if verdict.kind is None or isinstance(result, Fault) or not result.is_success or request.kind == "embeddings":
        return verdict
    try:
        answer = read_reply(result.body)
    except ValueError:
        return verdict
    if not isinstance(answer, dict):
        return verdict
    whole = Verdict(None, "", verdict.usage, answer)
    parts = _parts(request, whole)
    return whole if any(_judged(request, part, result).verdict.kind is None for part in parts) else verdict


class _Judged(NamedTuple):
    reply: Reply
    verdict: Verdict


def _parts(request: Request, verdict: Verdict) -> list[Part]:
    assert verdict.answer is not None
    return parts_of(verdict.answer, request.kind, [len(each.body) for each in request.members], verdict.usage)


def _judged(request: Request, part: Part, result: Reply) -> _Judged:
    """Return the reply that a request alone would have got, judged."""
    reply = _new(Reply, (result.status, result.headers, part.body, result.latency_s, None))
    if request.kind == "embeddings":  # all of the vectors have been looked at
        return _new(_Judged, (reply, _new(Verdict, (None, "", part.usage, None, NO_REASON, False, None))))
    asked = request.members[part.place]
    return _Judged(reply, judge(reply, asked.kind, asked.body)._replace(usage=part.usage))


class Bundles:
    """Takes bundles apart, and keeps the count of what was sent: all requests of a bundle have its attempts."""

    def __init__(
        self, join: Callable[[Sequence[Request]], Request] | None, listeners: Listeners, endpoint: str
    ) -> None:
        self._join, self._endpoint = join, endpoint
        self._on_outcome, self._on_event = listeners.on_outcome, listeners.on_event
        self.limit = BundleLimit(listeners.on_event, endpoint)
        """How many rows or samples a request may ask for."""

    def take_apart(self, work: Work, result: Reply | Fault, verdict: Verdict) -> tuple[list[Settled], list[Work]]:
        """Return the requests of an answered bundle: those with their own reply, and those to be sent again alone."""
        assert isinstance(result, Reply)
        request = work.request
        if verdict.shared is not None:  # the answer itself has no vectors
            verdict = judge(result, request.kind, request.body)
        works = [_alone(work, each) for each in request.members]
        ended: dict[int, Settled] = {}
        parts = _parts(request, verdict)
        self.limit.answered(work, len(parts))
        for part in parts:
            reply, its = _judged(request, part, result)
            if its.kind is None or EFFECTS[its.kind].row is ForRow.FAILED:
                ended[part.place] = _new(Settled, (works[part.place], reply, its))
            else:  # of no use, but paid for
                self._on_event(Spent(request.model, its.usage, self._endpoint))
        self._part(work, len(works))
        work.is_settled = len(ended) == len(works)
        return [*ended.values()], [each for place, each in enumerate(works) if place not in ended]

    def settle_together(self, work: Work, result: Reply | Fault, verdict: Verdict, unix_s: float) -> bool:
        """Settle the requests of a bundle whose reply is kept for all of them; return whether that could be done.

        Where attempts were made at several endpoints, each request is settled by itself.
        """
        if verdict.shared is None or work.has_moved:
            return False
        assert isinstance(result, Reply)
        members = work.request.members
        self.limit.answered(work, len(members))
        self._part(work, len(members))
        work.is_settled = True
        shared = (result.status, work.attempts, result.latency_s, int(unix_s * 1000), None)
        rest = (work.throttled, self._endpoint, "", verdict.shared)
        usages = split_usage(verdict.usage, [len(each.body) for each in members], [1] * len(members))
        for place, (request, usage) in enumerate(zip(members, usages, strict=True)):
            row, model, sample, key, _, custom_id, _, _ = request
            outcome = (row, model, sample, key, custom_id, None, None, *shared, usage, *rest, place)
            self._on_outcome(_new(Outcome, outcome))
        return True

    def halve(self, work: Work, verdict: Verdict) -> list[Work]:
        """Return two bundles in the place of one that would fail; a request that is alone then can fail itself.

        A half that still has several requests has one attempt left: it is halved when it fails too.
        """
        self.limit.failed(work, verdict)
        halves = self.part(work)
        self.limit.halved(work, halves, verdict.message)
        for half in halves:
            if half.request.members:
                half.spent = max(0, half.allowed - ATTEMPT)
        return halves

    def part(self, work: Work) -> list[Work]:
        """Return two bundles in the place of one."""
        assert self._join is not None
        members = work.request.members
        middle = (len(members) + 1) // 2
        halves = [_alone(work, self._join(each)) for each in (members[:middle], members[middle:])]
        self._part(work, len(halves))
        return halves

    def cut(self, work: Work) -> Work | None:
        """Take out of a bundle what its model does not take in one; return that, None where there is nothing."""
        most, members = self.limit.most(work.request), work.request.members
        if most is None or most >= len(members) or self._join is None:
            return None
        rest = _alone(work, self._join(members[most:]))
        work.request = self._join(members[:most])
        work.first_body, work.half_of = work.request.body, None
        self._part(work, 2)
        return rest

    def _part(self, work: Work, parts: int) -> None:
        """Count the attempts of a bundle once, which all of its parts have."""
        more = 1 - parts
        for endpoint, attempts, throttled in (*work.elsewhere, work.here(self._endpoint)):
            if attempts:
                self._on_event(Attempted(work.request.model, more * attempts, more * throttled, endpoint))


def _alone(work: Work, request: Request) -> Work:
    """Return a request that has travelled in a bundle, with the attempts of that."""
    alone = Work(request, work.allowed // ATTEMPT)
    alone.attempts, alone.throttled, alone.elsewhere = work.attempts, work.throttled, work.elsewhere
    alone.sent_s, alone.endpoint, alone.refused_n = work.sent_s, work.endpoint, work.refused_n
    return alone
