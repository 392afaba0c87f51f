"""What decides how many requests a pool may have in flight at an endpoint. Pure."""

from typing import Protocol


class Slots(Protocol):
    """See `Limit`, which decides where this process sends; on a cluster a `Bound` does in each worker."""

    @property
    def current(self) -> int: ...  # noqa: D102
    @property
    def ceiling(self) -> int: ...  # noqa: D102
    @property
    def held(self) -> int: ...  # noqa: D102
    def completed(self, level: int, latency_s: float, in_flight: int, now_s: float) -> None: ...  # noqa: D102
    def grow_in_silence(self, now_s: float) -> float | None: ...  # noqa: D102
    def break_silence(self) -> None: ...  # noqa: D102
    def throttled(self, in_flight: int, delay_s: float, now_s: float) -> None: ...  # noqa: D102
    def faltered(self, now_s: float) -> None: ...  # noqa: D102
    def restore(self, now_s: float) -> None: ...  # noqa: D102
    def cap(self, most: int | None, now_s: float) -> None: ...  # noqa: D102
