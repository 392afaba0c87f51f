"""Which models refuse `strict` in the job's schema: they get the schema without it, and no row fails for it. Pure."""

import re
from collections.abc import Callable

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.records import Event, Fault, Loosened, Reply

_STATUSES = frozenset({400, 422})

_OF_SCHEMA = re.compile(r"strict|schema|response.?format|additional.?properties|required", re.IGNORECASE)
"""Words of a refusal that may be about `strict`. If it is about the schema itself, the request without `strict` is
refused too, and is judged like any other."""


class Strictness:
    """Takes `strict` out of the requests to models that have refused it."""

    def __init__(self, strict: bytes, lenient: bytes, endpoint: str = "") -> None:
        """Begin with models that take it.

        Args:
            strict: the JSON of the job's `response_format` as it is sent.
            lenient: the same without `strict`.
            endpoint: name of the endpoint.
        """
        self._strict, self._lenient, self._endpoint = strict, lenient, endpoint
        self._refused: set[str] = set()

    def adjust(self, work: Work) -> None:
        """Make a request that is about to be sent one that its model takes."""
        request = work.request
        if request.model in self._refused and self._strict in request.body:
            work.request = request._replace(body=request.body.replace(self._strict, self._lenient))

    def is_refused(
        self, work: Work, result: Reply | Fault, verdict: Verdict, on_event: Callable[[Event], None]
    ) -> bool:
        """Return whether a row was refused because of `strict`, so that it must be sent again without."""
        if work.is_canary or not isinstance(result, Reply) or result.status not in _STATUSES:
            return False
        if self._strict not in work.request.body or not _OF_SCHEMA.search(_text(verdict)):
            return False
        model = work.request.model
        if model not in self._refused:
            self._refused.add(model)
            on_event(Loosened(model, verdict.message, self._endpoint))
        return True


def _text(verdict: Verdict) -> str:
    codes = () if verdict.reason is None else verdict.reason.codes
    return " ".join((verdict.message, *codes))
