"""Reads results.parquet into the counts behind the report's plots and tables: rows by time, and by model.

Memory does not grow with the rows: times and values are counted in bins, and only the first few failed
rows are kept.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.report.clock import Clock, Gap, Span
from batchrun.report.distribution import Distribution
from batchrun.report.reservoir import Reservoir
from batchrun.report.timeline import Timeline
from batchrun.results.columns import ENDPOINT
from batchrun.results.row_groups import batches_of

_BATCH_ROWS = 65_536

_SAMPLED_ROWS = 2_000
"""Input rows at random: as many as the table of the page has room for."""


class ModelTally:
    """The counts over the rows of one model, or of one endpoint."""

    def __init__(self) -> None:
        self.rows = 0
        self.completion_tokens = 0
        self.latency_s = Distribution()
        """Of completed rows."""
        self.finish_reasons: Counter[str] = Counter()
        """Of completed rows; `none` where no reason was stated."""
        self.start_ms, self.end_ms = float("inf"), float("-inf")
        """Unix times of the first request that settled a row, and of the last answer."""


class EndpointTally(NamedTuple):
    """The counts over the rows that one endpoint of several answered."""

    rows: ModelTally
    timeline: Timeline


class Tally:
    """The counts over all rows for plots and tables."""

    def __init__(self) -> None:
        self.rows = 0
        self.prompts = 0
        """Input rows among them."""
        self.timeline: Timeline | None = None
        self.models: dict[str, ModelTally] = {}
        self.endpoints: dict[str, EndpointTally] = {}
        self.prompt_tokens = Distribution(is_whole=True)
        self.completion_tokens = Distribution(is_whole=True)
        self.failed_rows: list[int] = []
        """The first input rows with a failed answer."""
        self.sampled = Reservoir(_SAMPLED_ROWS)
        """Input rows at random."""

    @property
    def latency_s(self) -> Distribution:
        """Of the completed rows of all models."""
        together = Distribution()
        for each in self.models.values():
            together.update(each.latency_s)
        return together

    def running_s(self, its: ModelTally) -> float:
        """Return the time from the first answered request to the last answer, without gaps between executions."""
        return 0.0 if self.timeline is None else self.timeline.clock.running_ms(its.start_ms, its.end_ms) / 1000


def tally(
    path: Path,
    *,
    failed_rows: int,
    gaps: Sequence[Gap] = (),
    spans: Sequence[Span] = (),
    has_endpoints: bool = False,
) -> Tally:
    """Return the counts over the rows of a results.parquet.

    Args:
        path: the file; two of its columns are read twice, a batch at a time.
        failed_rows: most input rows with a failed answer to keep.
        gaps: stretches of time in which no process ran.
        spans: when the executions ran: a run may begin and end with an outage, in which nothing was answered.
        has_endpoints: whether rows are counted by endpoint too.
    """
    with pq.ParquetFile(path) as file:
        found = Tally()
        found.timeline = _timeline(file, gaps, spans)
        columns = ["row", "model", "status", "finish_reason", "prompt_tokens", "completion_tokens"]
        columns += [ENDPOINT.name] if has_endpoints else []
        last_row: int | None = None
        for batch in batches_of(file, _BATCH_ROWS, columns=[*columns, "finished_at", "latency_s"]):
            _add(found, batch, failed_rows)
            found.rows += batch.num_rows
            numbers = pc.unique(batch.column("row"))
            new = numbers[1:] if numbers[0].as_py() == last_row else numbers
            found.prompts += len(new)
            found.sampled.add(new)
            last_row = numbers[-1].as_py()
    return found


def _add(found: Tally, batch: pa.RecordBatch, failed_rows: int) -> None:
    is_failed = pc.equal(batch.column("status"), "failed")
    if room := failed_rows - len(found.failed_rows):
        numbers = pc.unique(batch.column("row").filter(is_failed)).to_pylist()
        found.failed_rows += [row for row in numbers if row not in found.failed_rows[-1:]][:room]
    found.prompt_tokens.add(batch.column("prompt_tokens"))
    found.completion_tokens.add(batch.column("completion_tokens"))
    finished_ms, latency_ms = _times_ms(batch)
    if found.timeline is not None:
        found.timeline.add(finished_ms, latency_ms, is_failed)
    rows = pa.table(
        {
            "model": batch.column("model"),
            "is_failed": is_failed,
            "finished_ms": finished_ms,
            "latency_ms": latency_ms,
            "latency_s": batch.column("latency_s"),
            "tokens": batch.column("completion_tokens"),
            "reason": batch.column("finish_reason"),
        }
    )
    for model, its in _parts(rows, batch.column("model")):
        _add_model(found.models.setdefault(model, ModelTally()), its)
    if ENDPOINT.name in batch.schema.names and found.timeline is not None:
        for endpoint, its in _parts(rows, batch.column(ENDPOINT.name)):
            _add_endpoint(found, endpoint, its, found.timeline.empty())


def _parts(rows: pa.Table, names: pa.Array) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows by their names; a row that could not be read, or was not sent, may have none."""
    different = pc.unique(names).to_pylist()
    for name in filter(None, different):
        yield name, rows if len(different) == 1 else rows.filter(pc.equal(names, name))


def _add_endpoint(found: Tally, endpoint: str, rows: pa.Table, timeline: Timeline) -> None:
    its = found.endpoints.setdefault(endpoint, EndpointTally(ModelTally(), timeline))
    _add_model(its.rows, rows)
    columns = (rows[name].combine_chunks() for name in ("finished_ms", "latency_ms", "is_failed"))
    its.timeline.add(*columns)


def _add_model(model: ModelTally, rows: pa.Table) -> None:
    model.rows += rows.num_rows
    model.completion_tokens += pc.sum(rows["tokens"]).as_py() or 0
    started_ms = pc.subtract(rows["finished_ms"], pc.fill_null(rows["latency_ms"], 0.0))
    model.start_ms = min(model.start_ms, pc.min(started_ms).as_py())
    model.end_ms = max(model.end_ms, pc.max(rows["finished_ms"]).as_py())
    completed = rows.filter(pc.invert(rows["is_failed"]))
    model.latency_s.add(completed["latency_s"].combine_chunks())
    reasons = pc.value_counts(pc.fill_null(completed["reason"], "none"))
    model.finish_reasons.update({each["values"]: each["counts"] for each in reasons.to_pylist()})


def _timeline(file: pq.ParquetFile, gaps: Sequence[Gap], spans: Sequence[Span]) -> Timeline | None:
    """Return an empty timeline from the start of the first execution to the end of the last; None without rows.

    A process that died may have settled rows after it was seen for the last time: a gap begins after them.
    """
    starts_ms, ends_ms = [], []
    gaps = list(gaps)
    for batch in batches_of(file, _BATCH_ROWS, columns=["finished_at", "latency_s"]):
        finished_ms, latency_ms = _times_ms(batch)
        starts_ms.append(pc.min(pc.subtract(finished_ms, pc.fill_null(latency_ms, 0.0))).as_py())
        ends_ms.append(pc.max(finished_ms).as_py())
        for number, gap in enumerate(gaps):
            late = pc.and_(pc.greater(finished_ms, gap.start_ms), pc.less(finished_ms, gap.end_ms))
            gaps[number] = gap._replace(start_ms=pc.max(finished_ms.filter(late)).as_py() or gap.start_ms)
    if not starts_ms:
        return None
    starts_ms += [start_ms for start_ms, _ in spans]
    ends_ms += [end_ms for _, end_ms in spans]
    return Timeline(Clock(min(starts_ms), max(ends_ms), gaps), file.metadata.num_rows)


def _times_ms(batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    finished_ms = pc.cast(pc.cast(batch.column("finished_at"), pa.int64()), pa.float64())
    return finished_ms, pc.multiply(batch.column("latency_s"), 1000.0)
