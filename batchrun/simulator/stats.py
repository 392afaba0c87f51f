"""The counts of the simulator: tests compare a client's numbers with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any


def fingerprint(model: str, prompt: str, seed: object) -> str:
    """Return the name that identifies a request in the counts: a hash of its model, last user message and seed."""
    return blake2b(f"{model}\0{seed}\0{prompt}".encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Stats:
    """Totals so far, in a size that allows millions of requests.

    `answered` counts what an endpoint bills: the model made an answer, whether the client received it or not.
    `wasted` counts the answers among them that no client can use: not received, cut, or without content.
    `parts` counts the choices, vectors and scores in the answers: a request may ask for several.
    If a client buys nothing twice, answered - wasted <= 1 for each request.
    """

    received: int = 0
    answered: int = 0
    parts: int = 0
    billed_unreceived: int = 0
    spoiled: int = 0
    clients_left: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    slot_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    answered_by_request: Counter[str] = field(default_factory=Counter)
    wasted_by_request: Counter[str] = field(default_factory=Counter)

    def enter(self) -> None:
        """Count a request that has arrived; requests that a limit rejects are briefly in flight too."""
        self.received += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def bill(self, key: str, usage: dict[str, Any]) -> None:
        """Count an answer of the model."""
        self.answered += 1
        self.prompt_tokens += usage["prompt_tokens"]
        self.completion_tokens += usage["completion_tokens"]
        self.answered_by_request[key] += 1

    def waste(self, key: str, *, received: bool) -> None:
        """Count a billed answer that is useless: not received, or received without content."""
        if received:
            self.spoiled += 1
        else:
            self.billed_unreceived += 1
        self.wasted_by_request[key] += 1

    def totals(self) -> dict[str, Any]:
        """Return all totals without the counts of single requests, for `GET /stats`."""
        return {
            "received": self.received,
            "answered": self.answered,
            "parts": self.parts,
            "billed_unreceived": self.billed_unreceived,
            "spoiled": self.spoiled,
            "clients_left": self.clients_left,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "slot_s": round(self.slot_s, 3),
            "billed_tokens": {"prompt": self.prompt_tokens, "completion": self.completion_tokens},
            "by_status": dict(self.by_status),
            "rejected": dict(self.rejected),
            "faults": dict(self.faults),
        }

    def requests(self) -> dict[str, dict[str, int]]:
        """Return how often each request was answered and wasted, by fingerprint, for `GET /stats/requests`."""
        return {"answered": dict(self.answered_by_request), "wasted": dict(self.wasted_by_request)}
