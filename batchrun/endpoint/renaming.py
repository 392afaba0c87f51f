"""Puts the name that a model has at an endpoint into the body of a request. Pure."""

import orjson

from batchrun.records import Request


def head(model: str) -> bytes:
    """Return how the body of each request to a model begins."""
    return orjson.dumps({"model": model})[:-1]


def renamed(body: bytes, model: str, its: str) -> bytes:
    """Return a body, whose first key is `model`, with the model's name at the endpoint."""
    return body if model == its else head(its) + body.removeprefix(head(model))


def as_asked_of(request: Request, model: str) -> Request:
    """Return a request with another model in the place of its own."""
    return request._replace(model=model, body=renamed(request.body, request.model, model))
