"""How many samples of a row a model of an endpoint gives to one request, where that is fewer than asked for. Pure.

Some servers do not know `n`: they ignore it, refuse it, or break at it. Words need not be read to find that out, for
all samples of a row ask the same but for `n`. Where a request for several was refused, and one for fewer of the same
samples is answered, `n` was the reason. So it was where requests for several break a server again and again, and it
answers others each time between. Neither counts once the model has given as many samples to any request.
"""

from collections import Counter
from collections.abc import Callable

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.verdicts import EFFECTS, ForRun, Verdict
from batchrun.records import Event, Narrowed, Reply, Request

_ROUNDS = 3
"""How often a server breaks at requests for several samples, and answers another request, until `n` is the reason. An
assumption: two may be chance where some of all attempts fail, and each round is a pause of some seconds."""


class SampleLimit:
    """Notes what each model has given, and reports once that it is asked for fewer."""

    def __init__(self, on_event: Callable[[Event], None], endpoint: str) -> None:
        self._on_event, self._endpoint = on_event, endpoint
        self._given: dict[str, int] = {}  # the most that one request was given, by model
        self._most: dict[str, int] = {}
        self._rounds = Counter[str]()
        self._broken = set[str]()  # models that have answered nothing since a request for several broke the server
        self.has_failed = False
        """Whether a request for several samples has ever failed: then `answered` must hear of all others too."""

    def most(self, request: Request) -> int | None:
        """Return how many samples a request of its model may ask for; None where any number."""
        return None if request.kind == "embeddings" else self._most.get(request.model)

    def failed(self, work: Work, verdict: Verdict) -> None:
        """Note on a bundle that is given up how many samples it asked for, if it was refused and that may be why."""
        if self._is_doubtful(work) and verdict.kind is not None and not EFFECTS[verdict.kind].is_named:
            self.has_failed = True
            work.refused_n = work.refused_n or (len(work.request.members), verdict.message)

    def broke(self, work: Work) -> None:
        """Note an attempt that failed and may be made again."""
        if not self._is_doubtful(work) or work.failure is None or EFFECTS[work.kind].run is not ForRun.PROBES:
            return
        self.has_failed, model = True, work.request.model
        if isinstance(work.failure[0], Reply) and model not in self._broken:
            self._broken.add(model)
            self._rounds[model] += 1
            if self._rounds[model] > _ROUNDS:
                self._limit(model, len(work.request.members), 1, work.message)

    def answered(self, work: Work, given: int) -> None:
        """Note that a request was answered, and with how many samples."""
        model, asked = work.request.model, len(work.request.members) or 1
        refused, work.refused_n = work.refused_n, None
        self._broken.discard(model)
        if given >= asked:
            self._given[model] = max(asked, self._given.get(model, 0))
        else:
            self._limit(model, asked, given, "")
        if refused is not None:
            self._limit(model, refused[0], given, refused[1])

    def _is_doubtful(self, work: Work) -> bool:
        """Return whether a request that has failed asks for more samples than its model has ever given to one."""
        asked = len(work.request.members)
        return work.request.kind != "embeddings" and asked > max(1, self._given.get(work.request.model, 0))

    def _limit(self, model: str, asked: int, most: int, message: str) -> None:
        if asked > self._given.get(model, 0) and 0 < most < self._most.get(model, asked):
            self._most[model] = most
            self._on_event(Narrowed(model, asked, most, message, self._endpoint))
