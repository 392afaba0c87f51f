"""Adds up what is in flight at several endpoints, without asking all of them for each request. Pure."""

from collections.abc import Callable


class Flight:
    """What is in flight at all endpoints, as far as it was noted."""

    def __init__(self, on_flight: Callable[[int], None]) -> None:
        """Begin with nothing in flight; `on_flight` takes the sum."""
        self._on_flight = on_flight
        self._sum = 0

    def at_one(self) -> Callable[[int], None]:
        """Return a function that takes how many requests are in flight at one endpoint, and passes the sum on."""
        noted = 0

        def note(in_flight: int) -> None:
            nonlocal noted
            self._sum += in_flight - noted
            noted = in_flight
            self._on_flight(self._sum)

        return note
