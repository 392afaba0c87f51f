"""Faults asked for inside a prompt: the grammar, and which marker an attempt obeys.

    [[simulate: FAULT [SECONDS] [xTIMES] [retry-after=VALUE]]]

FAULT is a name of the table in `faults`. SECONDS is how late it comes; for `drip`, how long it takes. TIMES is how many
attempts of one request (the same model, last user message and seed) get it, after which the request is answered; left
out, all do. VALUE is the header that goes with an error, as in `--retry-after`. `EXAMPLES` has some.

Only user messages are searched. Of several markers each has its attempts in turn: `[[simulate: 500 x2]]
[[simulate: cut x1]]` fails twice with 500, is then cut once, and is then answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from batchrun.simulator.errors import check_retry_after
from batchrun.simulator.faults import Fault, find

SIGN = "[[simulate:"
GRAMMAR = "[[simulate: FAULT [SECONDS] [xTIMES] [retry-after=VALUE]]]"
EXAMPLES = (
    ("[[simulate: 400]]", "every attempt gets the fault"),
    ("[[simulate: 500 x2]]", "the first two attempts of this request get it, then it is answered"),
    ("[[simulate: slow 2.5]]", "the answer comes after 2.5 seconds (any fault but drip: it comes so late)"),
    ("[[simulate: 503 retry-after=3 x1]]", "with this header, as in --retry-after"),
)

_MARKER = re.compile(r"\[\[simulate:([^\[\]]*)\]\]")
_SECONDS = re.compile(r"\d+(\.\d+)?")
_TIMES = re.compile(r"x\d+")


@dataclass(frozen=True, slots=True)
class Order:
    """A fault that one request is to get, with what its marker says about it."""

    fault: Fault
    wait_s: float | None = None
    times: int | None = None  # None: every time
    retry_after: str | None = None


def read(texts: Iterable[str]) -> list[Order]:
    """Return what the markers in these texts ask for, in order.

    Raises:
        ValueError: a marker does not follow the grammar.
    """
    return [_order(match[1].split(), match[0]) for text in texts for match in _MARKER.finditer(text)]


def due(orders: Iterable[Order], attempt: int) -> Order | None:
    """Return the order that an attempt (1-based) obeys; None when all have had their attempts."""
    for order in orders:
        if order.times is None or attempt <= order.times:
            return order
        attempt -= order.times
    return None


def _order(words: list[str], marker: str) -> Order:
    if not words:
        raise ValueError(f"{marker} names no fault; write {GRAMMAR}")
    wait_s: float | None = None
    times: int | None = None
    retry_after: str | None = None
    for word in words[1:]:
        if _SECONDS.fullmatch(word):
            wait_s = float(word)
        elif _TIMES.fullmatch(word):
            times = int(word[1:])
        elif word.startswith("retry-after="):
            retry_after = check_retry_after(word.removeprefix("retry-after="))
        else:
            raise ValueError(f"{marker}: {word!r} is not understood; write {GRAMMAR}")
    return Order(find(words[0]), wait_s, times, retry_after)
