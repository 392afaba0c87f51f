"""Reads results.parquet into the counts behind the report's plots: rows by time, and distributions.

Memory does not grow with the rows: times are counted in a fixed number of bins, values in bins of equal width on a
logarithmic scale, and only the first few positions of failed rows are kept.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_MOST_BINS = 240
"""Most points of a plot over time: one for about three pixels."""

_FEWEST_BINS = 24

_ROWS_A_BIN = 20
"""With fewer rows per bin a plot is noise."""

_BATCH_ROWS = 65_536
_PER_DECADE = 1000
"""Bins of a distribution per factor of ten: quantiles are right within 0.12 %."""


class Distribution:
    """The distribution of positive numbers; other numbers are counted separately."""

    def __init__(self, *, is_whole: bool = False) -> None:
        self.is_whole = is_whole
        """Whether the numbers are integers: each then covers the range from half below to half above it."""
        self.bins: Counter[int] = Counter()
        self.zeros = 0

    def add(self, values: pa.Array) -> None:
        """Count values; nulls are left out."""
        values = pc.drop_null(pc.cast(values, pa.float64()))
        positive = values.filter(pc.greater(values, 0))
        self.zeros += len(values) - len(positive)
        numbers = pc.cast(pc.floor(pc.multiply(pc.log10(positive), _PER_DECADE)), pa.int64())
        for entry in pc.value_counts(numbers).to_pylist():
            self.bins[entry["values"]] += entry["counts"]

    @property
    def count(self) -> int:
        """Number of values."""
        return self.zeros + sum(self.bins.values())

    def quantile(self, share: float) -> float:
        """Return the value with this share of the values below it; 0 without values."""
        passed, wanted = self.zeros, share * self.count
        if passed >= wanted:
            return 0.0
        for number in sorted(self.bins):
            passed += self.bins[number]
            if passed >= wanted:
                break
        return 10 ** ((number + 0.5) / _PER_DECADE)

    def spread(self) -> tuple[float, float] | None:
        """Return the decimal logarithms of the least and the greatest value; None without positive values."""
        return (self._extent(min(self.bins))[0], self._extent(max(self.bins))[1]) if self.bins else None

    def columns(self, edges: Sequence[float]) -> list[float]:
        """Return the number of values between each of these equally spaced logarithms and the next."""
        counts = [0.0] * (len(edges) - 1)
        step = edges[1] - edges[0]
        for number, count in self.bins.items():
            low, high = self._extent(number)
            first, last = (min(len(counts) - 1, max(0, int((end - edges[0]) / step))) for end in (low, high))
            for column in range(first, last + 1):
                inside = min(high, edges[column + 1]) - max(low, edges[column])
                counts[column] += count * (inside / (high - low) if first < last else 1)
        return counts

    def _extent(self, number: int) -> tuple[float, float]:
        """Return the logarithms that bound the values of a bin; wide for small integers, which would make a comb."""
        value = round(10 ** ((number + 0.5) / _PER_DECADE))
        if self.is_whole and 1 <= value < _PER_DECADE // 2:
            return math.log10(value - 0.5), math.log10(value + 0.5)
        return number / _PER_DECADE, (number + 1) / _PER_DECADE


class Timeline:
    """Rows by the time they were settled, in bins of equal width, and the requests in flight in each bin."""

    def __init__(self, start_ms: float, end_ms: float, rows: int) -> None:
        self.bins = min(_MOST_BINS, max(_FEWEST_BINS, rows // _ROWS_A_BIN))
        self.start_ms = start_ms
        self.width_ms = max(1.0, (end_ms - start_ms) / self.bins)
        self.completed = [0] * self.bins
        self.failed = [0] * self.bins
        self._flights = [0] * self.bins
        """Requests started minus requests ended, in each bin."""
        self._flight_ms = [0.0] * self.bins
        """Time in the bin after each start, minus the time in the bin after each end."""

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
        since = pc.divide(pc.subtract(times_ms, self.start_ms), self.width_ms)
        numbers = pc.max_element_wise(pc.min_element_wise(pc.floor(since), self.bins - 1.0), 0.0)
        rests_ms = pc.multiply(pc.subtract(pc.add(numbers, 1.0), since), self.width_ms)
        binned = pa.table({"bin": pc.cast(numbers, pa.int64()), "rest_ms": rests_ms}).group_by("bin")
        for entry in binned.aggregate([("rest_ms", "sum"), ("rest_ms", "count")]).to_pylist():
            yield entry["bin"], entry["rest_ms_count"], entry["rest_ms_sum"]

    @property
    def seconds(self) -> float:
        """Time from the first request to the last answer."""
        return self.bins * self.width_ms / 1000

    @property
    def in_flight(self) -> list[float]:
        """Mean number of requests in flight in each bin, counting only the attempts that settled a row."""
        before, means = 0, []
        for flights, flight_ms in zip(self._flights, self._flight_ms, strict=True):
            means.append(max(0.0, before + flight_ms / self.width_ms))
            before += flights
        return means


class Tally:
    """The counts over all rows for plots and tables."""

    def __init__(self) -> None:
        self.rows = 0
        self.timeline: Timeline | None = None
        self.latency_s = Distribution()
        self.prompt_tokens = Distribution(is_whole=True)
        self.completion_tokens = Distribution(is_whole=True)
        self.failed_rows: list[int] = []
        """Positions of the first failed rows in the file."""


def tally(path: Path, *, failed_rows: int) -> Tally:
    """Return the counts over the rows of a results.parquet.

    Args:
        path: the file; two of its columns are read twice, a batch at a time.
        failed_rows: most positions of failed rows to keep.
    """
    with pq.ParquetFile(path) as file:
        found = Tally()
        found.timeline = _timeline(file)
        columns = ["model", "status", "finished_at", "latency_s", "prompt_tokens", "completion_tokens"]
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
            _add(found, batch, failed_rows)
            found.rows += batch.num_rows
    return found


def _add(found: Tally, batch: pa.RecordBatch, failed_rows: int) -> None:
    is_failed = pc.equal(batch.column("status"), "failed")
    if room := failed_rows - len(found.failed_rows):
        positions = pc.indices_nonzero(is_failed)[:room].to_pylist()
        found.failed_rows += [found.rows + position for position in positions]
    found.latency_s.add(batch.column("latency_s").filter(pc.invert(is_failed)))
    found.prompt_tokens.add(batch.column("prompt_tokens"))
    found.completion_tokens.add(batch.column("completion_tokens"))
    if found.timeline is not None:
        found.timeline.add(*_times_ms(batch), is_failed)


def _timeline(file: pq.ParquetFile) -> Timeline | None:
    """Return an empty timeline from the first request to the last answer; None without rows."""
    starts_ms, ends_ms = [], []
    for batch in file.iter_batches(_BATCH_ROWS, columns=["finished_at", "latency_s"]):
        finished_ms, latency_ms = _times_ms(batch)
        starts_ms.append(pc.min(pc.subtract(finished_ms, pc.fill_null(latency_ms, 0.0))).as_py())
        ends_ms.append(pc.max(finished_ms).as_py())
    return Timeline(min(starts_ms), max(ends_ms), file.metadata.num_rows) if starts_ms else None


def _times_ms(batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    finished_ms = pc.cast(pc.cast(batch.column("finished_at"), pa.int64()), pa.float64())
    return finished_ms, pc.multiply(batch.column("latency_s"), 1000.0)
