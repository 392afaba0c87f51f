"""Tells whether the key of now is the one that has created the batches under way.

Another account does not see them: its 404 would be taken to say that the provider has deleted them, and their rows
would be bought twice. So where the key is another one, one of the batches must be seen first. A new key of the same
account sees them.
"""

import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import CREATED, CREATING, BatchRow
from batchrun.checkpoint.facts import Facts
from batchrun.endpoint.access import Access
from batchrun.endpoint.key import Secret
from batchrun.endpoint.pool.closure import REFUSED
from batchrun.records import Stop
from batchrun.report.texts import counted

KEPT_DAYS = 30
"""How long OpenAI keeps the files of batches. Source: its reference, "Upload file": the default for the purpose
`batch`."""

_SALT_BYTES = 16

_PRINT_BYTES = 2
"""Of a fingerprint: 16 bits say nothing about a key that has hundreds; one key in 65,536 is taken for the same."""


def fingerprint(access: Access, salt: bytes) -> str:
    """Return what tells keys apart and reveals nothing of them: a few bits of a keyed hash."""
    texts = [each.reveal() for each in (access.key, *access.headers.values()) if isinstance(each, Secret)]
    return hashlib.blake2b("\0".join(texts).encode(), key=salt, digest_size=_PRINT_BYTES).hexdigest()


class Owner:
    """The key that has created the batches of a run, as far as it was noted."""

    def __init__(self, access: Access, notes: Facts) -> None:
        """Read the notes.

        Args:
            access: of now.
            notes: of the run.
        """
        self._notes = notes
        noted: list[Any] | None = notes.fact(facts.BATCHES_KEY)
        self._salt = os.urandom(_SALT_BYTES) if noted is None else bytes.fromhex(noted[0])
        self._print = fingerprint(access, self._salt)
        self.is_other = noted is not None and noted[1] != self._print
        """Whether another key has created them."""

    def take_over(self) -> None:
        """Note the key of now."""
        self._notes.set_fact(facts.BATCHES_KEY, [self._salt.hex(), self._print])

    async def refusal(self, rows: Sequence[BatchRow], is_seen: Callable[[BatchRow], Awaitable[bool]]) -> Stop | None:
        """Return why nothing may be sent with the key of now; None where it may.

        Args:
            rows: the batches of the run.
            is_seen: returns whether the key of now sees a batch at the provider.
        """
        left = [row for row in rows if row.step in (CREATING, CREATED)]
        if not self.is_other or not left:
            return None
        for row in left:
            if await is_seen(row):
                return None
        requests = counted(sum(row.requests for row in left), "request")
        created = "was created" if len(left) == 1 else "were created"
        message = (
            f"{counted(len(left), 'batch', 'batches')} with {requests} cannot be seen with this key, and {created} "
            "with another one; run the same command with that key to collect the answers, while the provider keeps "
            f"them (OpenAI for {KEPT_DAYS} days), or with --cancel and that key to cancel what is under way; --cancel "
            "with this key only gives up the answers: the provider continues and bills them, no later run collects "
            "them with any key, and the next one sends the rows again"
        )
        return Stop(kind="unauthorized", message=message, exit_code=REFUSED)
