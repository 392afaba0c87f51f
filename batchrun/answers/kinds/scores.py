"""The answers of `/score`: how well two texts fit, for each pair of the request. Pure.

Source: the documentation of vLLM, "Score API".
"""

from typing import Any, NamedTuple

from batchrun.answers.kinds.shape import Parsed, data_shape, first_of, items_of


class Scores(NamedTuple):
    """The scores of the pairs of one request, in the order of the pairs."""

    values: list[float]


def _is_like(reply: Parsed) -> bool:
    return "score" in first_of(reply, "data")


def _read(reply: Any) -> Scores | str:
    items = items_of(reply, "data")
    if isinstance(items, str):
        return items
    values = [float(each["score"]) for each in items if type(each.get("score")) in (int, float)]
    return Scores(values) if len(values) == len(items) else "the answer has an entry without a score"


SHAPE = data_shape("a list of scores", _is_like, _read)
