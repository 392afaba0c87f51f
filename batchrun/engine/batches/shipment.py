"""A batch on its way to the provider, and how it ended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from batchrun.checkpoint.batch_tables import BatchRow
from batchrun.engine.batches.collection import Result
from batchrun.records import Stop


@dataclass(slots=True)
class Shipment:
    """A batch on its way."""

    row: BatchRow
    tokens: float = 0.0
    """About how many its prompts have; 0 where it is not known."""
    admitted_s: float = 0.0
    """When it was its turn to be created, on the loop's clock."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_cancelled: bool = False
    """Whether it is to be cancelled."""
    is_withdrawn: bool = False
    """Whether it was never created, and what is wanted of it goes into new ones: not all is, or it is too large."""
    is_too_large: bool = False
    """Whether the provider has not taken its file for its size."""
    refused: Stop | None = None
    """Why the provider does not take it, and would take none of its model."""
    cancelled_s: float | None = None
    """When that was asked for."""

    on_row: Callable[[BatchRow], None] = lambda row: None
    """Takes what is known of the batch when it changes."""

    def become(self, row: BatchRow) -> None:
        """Take note of what is known of the batch now."""
        self.row = row
        self.on_row(row)

    def cancel(self) -> None:
        """Have the batch cancelled."""
        self.is_cancelled = True
        self.wake.set()


@dataclass(frozen=True, slots=True)
class Delivered:
    """How a batch ended."""

    result: Result
    is_queue_full: bool = False
    """Whether it was not taken, because too many tokens are enqueued: it has still to be created."""
    is_queue_of_model: bool = False
    """Whether only those of its model count."""
    is_too_large: bool = False
    """Whether it was not taken, because it has too many requests or bytes."""
    is_withdrawn: bool = False
    """Whether what is wanted of it is to go into a new one at once."""
    is_lost: bool = False
    """Whether the provider does not have it any more, so that what it may have cost is not known."""
    problem: str = ""
    """Why it was not taken, where that is the matter of no line."""
    stop: Stop | None = None
    """Why nothing more can be sent to its model."""
