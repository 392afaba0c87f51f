"""Puts the name that a model has at an endpoint into the body of a request. Pure."""

import orjson


def head(model: str) -> bytes:
    """Return how the body of each request to a model begins."""
    return orjson.dumps({"model": model})[:-1]


def renamed(body: bytes, model: str, its: str) -> bytes:
    """Return a body, whose first key is `model`, with the model's name at the endpoint."""
    return body if model == its else head(its) + body.removeprefix(head(model))
