"""Puts the name that a model has at an endpoint into the body of a request. Pure.

Nothing else in the body changes. Bodies that are made here begin with the model; the body of a batch line may have it
anywhere.
"""

from collections.abc import Mapping

import orjson

from batchrun.answers.raw_json import place_of, with_value
from batchrun.records import Request


def head(model: str) -> bytes:
    """Return how the bodies that are made here begin, of requests to a model."""
    return orjson.dumps({"model": model})[:-1]


def renamed(body: bytes, model: str, its: str) -> bytes:
    """Return a body that has `model` with the model's name at the endpoint."""
    return body if model == its else _with(body, head(model), its)


def as_asked_of(request: Request, model: str) -> Request:
    """Return a request with another model in the place of its own."""
    return request._replace(model=model, body=renamed(request.body, request.model, model))


class Renames:
    """Puts the names of all models at an endpoint into bodies."""

    def __init__(self, models: Mapping[str, str]) -> None:
        """Take the names of the models in the job → their names at the endpoint."""
        self._models = models
        self._heads = {head(ours): head(its) for ours, its in models.items()}

    def body(self, body: bytes) -> bytes:
        """Return a body with the name that its model has at the endpoint."""
        for ours, its in self._heads.items():
            if body.startswith(ours):
                return body if ours == its else its + body[len(ours) :]
        place = place_of(body, "model")
        model = "" if place is None else orjson.loads(body[place])
        return renamed(body, model, self._models.get(model, model))


def _with(body: bytes, ours: bytes, its: str) -> bytes:
    return head(its) + body[len(ours) :] if body.startswith(ours) else with_value(body, "model", orjson.dumps(its))
