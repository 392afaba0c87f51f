"""Rows by the time they were settled, in a fixed number of bins: memory does not grow with the rows."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from batchrun.report.clock import Clock

_MOST_BINS = 240
"""Most points of a plot over time: one for about three pixels."""

_FEWEST_BINS = 24

_ROWS_A_BIN = 20
"""With fewer rows per bin a plot is noise."""


class Timeline:
    """Rows by the time they were settled, in bins of equal width, and the requests in flight in each bin."""

    def __init__(self, clock: Clock, rows: int) -> None:
        self.clock = clock
        self._rows = rows
        self.bins = min(_MOST_BINS, max(_FEWEST_BINS, rows // _ROWS_A_BIN))
        self.width_ms = max(1.0, clock.length_ms / self.bins)
        """Of a bin, on the axis."""
        self.completed = [0] * self.bins
        self.failed = [0] * self.bins
        self._flights = [0] * self.bins
        """Requests started minus requests ended, in each bin."""
        self._flight_ms = [0.0] * self.bins
        """Time in the bin after each start, minus the time in the bin after each end."""

    def empty(self) -> "Timeline":
        """Return a timeline with the same bins, for a part of the rows."""
        return Timeline(self.clock, self._rows)

    def add(self, finished_ms: pa.Array, latency_ms: pa.Array, is_failed: pa.Array) -> None:
        """Count rows; a row without a latency was never in flight."""
        for counts, chosen in ((self.completed, pc.invert(is_failed)), (self.failed, is_failed)):
            for number, count, _ in self._binned(finished_ms.filter(chosen)):
                counts[number] += count
        was_sent = pc.is_valid(latency_ms)
        ended_ms, took_ms = finished_ms.filter(was_sent), latency_ms.filter(was_sent)
        for sign, times_ms in ((1, pc.subtract(ended_ms, took_ms)), (-1, ended_ms)):
            for number, count, rest_ms in self._binned(times_ms):
                self._flights[number] += sign * count
                self._flight_ms[number] += sign * rest_ms

    def _binned(self, times_ms: pa.Array) -> Iterator[tuple[int, int, float]]:
        """Yield bin, number of times in it, and the sum of the times from each to the end of the bin."""
        since = pc.divide(self._places(times_ms), self.width_ms)
        numbers = pc.max_element_wise(pc.min_element_wise(pc.floor(since), self.bins - 1.0), 0.0)
        rests_ms = pc.multiply(pc.subtract(pc.add(numbers, 1.0), since), self.width_ms)
        binned = pa.table({"bin": pc.cast(numbers, pa.int64()), "rest_ms": rests_ms}).group_by("bin")
        for entry in binned.aggregate([("rest_ms", "sum"), ("rest_ms", "count")]).to_pylist():
            yield entry["bin"], entry["rest_ms_count"], entry["rest_ms_sum"]

    def _places(self, times_ms: pa.Array) -> pa.Array:
        """Return the places of moments on the axis, as `Clock.place` does for one."""
        since_ms = places = pc.subtract(times_ms, self.clock.start_ms)
        for cut in self.clock.cuts:
            inside = pc.min_element_wise(pc.max_element_wise(pc.subtract(since_ms, cut.start_ms), 0.0), cut.length_ms)
            places = pc.subtract(places, pc.multiply(inside, cut.saved))
        return places

    def bin_of(self, at_ms: float) -> int:
        """Return the bin of a moment; the first or the last for a moment outside the axis."""
        return min(max(int(self.clock.place(at_ms) // self.width_ms), 0), self.bins - 1)

    @property
    def in_flight(self) -> list[float]:
        """Mean number of requests in flight in each bin, counting only the attempts that settled a row."""
        before, means = 0, []
        for flights, flight_ms in zip(self._flights, self._flight_ms, strict=True):
            means.append(max(0.0, before + flight_ms / self.width_ms))
            before += flights
        return means
