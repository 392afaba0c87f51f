"""How many rows or samples a model of an endpoint takes in one request, where that is fewer than asked for. Pure.

Some servers do not know `n`: they ignore it, refuse it, or break at it. Others take few texts at once. Words need not
be read to find that out. All samples of a row ask the same but for `n`. So where a request for several was refused, and
one for fewer of the same samples is answered, `n` was the reason. So it was where requests for several break a server
again and again, and it answers others each time between. Rows of a bundle differ: one of them may be bad. But where a
bundle has failed and both of its halves are answered whole, none of them was, and it had too many. Nothing of this
counts once the model has given as many to any request.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from batchrun.endpoint.pool.backlog import Halved, Work
from batchrun.endpoint.pool.verdicts import EFFECTS, ForRun, Verdict
from batchrun.records import Event, Narrowed, Reply, Request

_ROUNDS = 3
"""How often a server breaks at requests for several samples, and answers another request, until `n` is the reason. An
assumption: two may be chance where some of all attempts fail, and each round is a pause of some seconds."""

_What = tuple[str, bool]
"""A model, and whether its rows are meant, or else the samples of a row."""


class BundleLimit:
    """Notes what each model has given, and reports once that it is asked for fewer."""

    def __init__(self, on_event: Callable[[Event], None], endpoint: str) -> None:
        self._on_event, self._endpoint = on_event, endpoint
        self._given: dict[_What, int] = {}  # the most that one request was given
        self._most: dict[_What, int] = {}
        self._rounds = Counter[str]()
        self._broken = set[str]()  # models that have answered nothing since a request for several broke the server
        self.has_failed = False
        """Whether a bundle has ever failed: then `answered` must hear of all other requests too."""

    def most(self, request: Request) -> int | None:
        """Return how many samples or rows a request of its model may ask for; None where any number."""
        return self._most.get(_what(request))

    def failed(self, work: Work, verdict: Verdict) -> None:
        """Note on a bundle of samples that is given up how many it asked for, if it was refused and that may be why."""
        if self._is_doubtful(work) and verdict.kind is not None and not EFFECTS[verdict.kind].is_named:
            self.has_failed = True
            work.refused_n = work.refused_n or (len(work.request.members), verdict.message)

    def halved(self, work: Work, halves: Sequence[Work], message: str) -> None:
        """Note that a bundle has failed, and what is sent in its place."""
        asked = len(work.request.members)
        if _has_rows(work.request) and asked > self._given.get(_what(work.request), 0):
            self.has_failed = True
            whole = Halved(self._endpoint, asked, message)
            for half in halves:
                half.half_of = whole

    def broke(self, work: Work) -> None:
        """Note an attempt that failed and may be made again."""
        if not self._is_doubtful(work) or work.failure is None or EFFECTS[work.kind].run is not ForRun.PROBES:
            return
        self.has_failed, model = True, work.request.model
        if isinstance(work.failure[0], Reply) and model not in self._broken:
            self._broken.add(model)
            self._rounds[model] += 1
            if self._rounds[model] > _ROUNDS:
                self._limit(work.request, len(work.request.members), 1, work.message)

    def answered(self, work: Work, given: int) -> None:
        """Note that a request was answered, and with how many samples or rows."""
        request, asked = work.request, len(work.request.members) or 1
        what, refused, half_of = _what(request), work.refused_n, work.half_of
        work.refused_n = work.half_of = None
        self._broken.discard(request.model)
        if given >= asked:
            self._given[what] = max(asked, self._given.get(what, 0))
        elif not _has_rows(request):  # a row without a vector has none in a smaller bundle either
            self._limit(request, asked, given, "")
        if refused is not None:
            self._limit(request, refused[0], given, refused[1])
        if half_of is not None and half_of.endpoint == self._endpoint and given >= asked:
            half_of.answered.append(asked)
            if sum(half_of.answered) == half_of.size:
                self._limit(request, half_of.size, max(half_of.answered), half_of.message)

    def _is_doubtful(self, work: Work) -> bool:
        """Return whether a request that has failed asks for more samples than its model has ever given to one."""
        asked = len(work.request.members)
        return not _has_rows(work.request) and asked > max(1, self._given.get(_what(work.request), 0))

    def _limit(self, request: Request, asked: int, most: int, message: str) -> None:
        what = _what(request)
        if asked > self._given.get(what, 0) and 0 < most < self._most.get(what, asked):
            self._most[what] = most
            self._on_event(Narrowed(request.model, asked, most, message, self._endpoint, are_rows=_has_rows(request)))


def _has_rows(request: Request) -> bool:
    """Return whether a bundle of such requests is of rows, and not of the samples of one."""
    return request.kind == "embeddings"


def _what(request: Request) -> _What:
    return request.model, _has_rows(request)
