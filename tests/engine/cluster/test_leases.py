"""Which rows the driver of a cluster waits for."""

from batchrun.engine.cluster.leases import Leases
from batchrun.records import Request


def test_no_row_is_waited_for_whose_fallback_is_closed() -> None:
    """A worker may leave it open, and reports none of these. Rows of other models are waited for."""
    leases = Leases()
    leases.fallbacks = {"small": "large"}
    leases.extend(Request(row, model, 0, b"", b"{}", None) for row in range(2) for model in ("small", "other"))
    leases.join(0)
    assert len(leases.take(0, 2, 1_000)) == 2
    leases.close("large")
    assert leases.count(0) == 1
    assert [request.model for request in leases.take(0, 2, 1_000)] == ["small", "other"]
    assert (leases.count(0), leases.leased) == (2, 4)
