"""A request that is sent in a batch."""

from typing import NamedTuple


class BatchLine(NamedTuple):
    """One request in a batch, or on its way into the next one, and what has happened to it before."""

    batch: int
    """Its number; 0: it waits for the next one."""
    place: int
    """Number of the request for which it was written: as its label in the file says."""
    id: int | None
    """Number of the request that it is for now; None: the job has none that asks this."""
    key: bytes
    """Of what it asks: `request_key`."""
    custom_id: str | None
    """The user's."""
    attempts: int = 0
    """In earlier batches, as are the three that follow."""
    throttled: int = 0
    spent: int = 0
    """Of what is allowed, in hundredths of an attempt."""
    repairs: int = 0
    body: bytes | None = None
    """Of a repair; None: the row's own."""

    def back(self) -> "BatchLine":
        """Return the line as it waits for the next batch; it must be for a request."""
        assert self.id is not None
        return self._replace(batch=0, place=self.id)
