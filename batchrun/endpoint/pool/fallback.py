"""Asks another model for a row that has failed for its own reason, once. Pure.

A model may name another one as its fallback: for a prompt that is too long for it, that its provider does not let
through, or that it does not answer in the form of the job. The row goes in front of the fresh rows of that model, as a
request with attempts of its own, and from there on it is a request like any other. It stays a row of the model that was
asked first: its outcome says who answered. If the fallback fails too, the row has failed as it did at first.

The kinds of failure that count have `falls_back` in the table of `verdicts`.
"""

from collections.abc import Mapping

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.closure import Closure
from batchrun.endpoint.pool.supply import Supply
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.endpoint.renaming import as_asked_of
from batchrun.records import Outcome


class Fallbacks:
    """The fallbacks of a job's models."""

    def __init__(self, models: Mapping[str, str], supply: Supply, closure: Closure) -> None:
        """Begin.

        Args:
            models: model → its fallback, both as the job names them.
            supply: has the requests of all models.
            closure: knows what becomes of a row whose fallback is closed.
        """
        self._models, self._supply, self._closure = models, supply, closure

    def final(self, work: Work, outcome: Outcome) -> Outcome | None:
        """Return how a row has ended; None if its model's fallback is asked now.

        Args:
            work: the row, at the model that gave the outcome.
            outcome: as it would be without a fallback.
        """
        if work.first is not None:
            return _joined(work.first, outcome)
        model = self._models.get(outcome.model)
        if model is None or outcome.kind is None or not EFFECTS[outcome.kind].falls_back:
            return outcome
        if work.trials:  # it takes servers down
            return outcome
        self._ask(model, work, outcome)
        return None

    def _ask(self, model: str, work: Work, failed: Outcome) -> None:
        queue = self._supply.open(model)[0].queue
        request = as_asked_of(work.request._replace(body=work.first_body), model)
        asked = Work(request, queue.max_attempts)
        asked.first = failed
        asked.before = (*work.elsewhere, work.here(failed.endpoint))
        if queue.is_closed:
            self._closure.leave_open(asked, failed.endpoint)
        else:
            queue.pass_on(asked)


def _joined(first: Outcome, second: Outcome) -> Outcome:
    """Return the outcome of a row that two models were asked for.

    Args:
        first: its failure at the model that it is a row of.
        second: its outcome at the fallback.
    """
    attempts, throttled = first.attempts + second.attempts, first.throttled + second.throttled
    if second.kind is None:
        return second._replace(model=first.model, answered_by=second.model, attempts=attempts, throttled=throttled)
    error = f"{first.error or first.kind}; its fallback {second.model} failed too: {second.error or second.kind}"
    return first._replace(error=error, attempts=attempts, throttled=throttled, finished_at_ms=second.finished_at_ms)
