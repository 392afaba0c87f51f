"""Markers that ask for faults inside a prompt: their grammar, and which of them an attempt gets.

    [[simulate: FAULT [SECONDS] [xTIMES] [retry-after=VALUE] [model=NAME]]]

FAULT is a name from the table in `faults`. SECONDS is the delay before it; for `drip`, its duration. TIMES is how many
attempts of one request (same model, last user message and seed) get the fault; later attempts are answered. Without
TIMES all attempts get it. VALUE is the header of an error, as in `--retry-after`. With NAME only requests to that
model get the fault. `EXAMPLES` shows some.

Only user messages are searched. Several markers apply one after the other: `[[simulate: 500 x2]] [[simulate: cut x1]]`
gives two errors 500, then one cut connection, then the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from batchrun.simulator.errors import check_retry_after
from batchrun.simulator.faults import Fault, find

SIGN = "[[simulate:"
GRAMMAR = "[[simulate: FAULT [SECONDS] [xTIMES] [retry-after=VALUE] [model=NAME]]]"
EXAMPLES = (
    ("[[simulate: 400]]", "every attempt gets the fault"),
    ("[[simulate: 500 x2]]", "the first two attempts of the request get it, the third is answered"),
    ("[[simulate: slow 2.5]]", "the answer comes after 2.5 seconds; other faults take seconds too"),
    ("[[simulate: 503 retry-after=3 x1]]", "the first attempt gets it with this header, as in --retry-after"),
    ("[[simulate: context_length model=small]]", "requests to this model get it, those to others are answered"),
)

_MARKER = re.compile(r"\[\[simulate:([^\[\]]*)\]\]")
_SECONDS = re.compile(r"\d+(\.\d+)?")
_TIMES = re.compile(r"x\d+")


@dataclass(frozen=True, slots=True)
class Order:
    """A fault for one request, with the options of its marker."""

    fault: Fault
    wait_s: float | None = None
    times: int | None = None  # None: all attempts
    retry_after: str | None = None
    model: str | None = None  # None: all models


def read(texts: Iterable[str]) -> list[Order]:
    """Return the orders that the markers in these texts give, in their order.

    Raises:
        ValueError: a marker does not follow the grammar.
    """
    return [_order(match[1].split(), match[0]) for text in texts for match in _MARKER.finditer(text)]


def due(orders: Iterable[Order], attempt: int) -> Order | None:
    """Return the order for an attempt (1-based), None when all orders are used up."""
    for order in orders:
        if order.times is None or attempt <= order.times:
            return order
        attempt -= order.times
    return None


def _order(words: list[str], marker: str) -> Order:
    if not words:
        raise ValueError(f"{marker} does not name a fault; write {GRAMMAR}")
    wait_s: float | None = None
    times: int | None = None
    retry_after: str | None = None
    model: str | None = None
    for word in words[1:]:
        if _SECONDS.fullmatch(word):
            wait_s = float(word)
        elif _TIMES.fullmatch(word):
            times = int(word[1:])
        elif word.startswith("retry-after="):
            retry_after = check_retry_after(word.removeprefix("retry-after="))
        elif word.startswith("model="):
            model = word.removeprefix("model=")
        else:
            raise ValueError(f"{marker}: {word!r} is not valid here; write {GRAMMAR}")
    return Order(find(words[0]), wait_s, times, retry_after, model)
