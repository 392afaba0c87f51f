"""How well the workers of a cluster use the slots of a hidden limit, compared with one process.

Models of a server and of the network between driver and workers, on a virtual clock, with the real pool in each worker.
The half second in which workers start is left out. `python tests/benchmarks/workers.py`
"""

import bisect
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal
from harness.runs import send_all

STARTS_S = 0.5

Level = Callable[[float], int]


def steps(*levels: tuple[float, int]) -> Level:
    """Return a limit that changes at times."""
    times = [at_s for at_s, _ in levels]
    return lambda now_s: levels[max(0, bisect.bisect_right(times, now_s) - 1)][1]


SCENARIOS: tuple[tuple[str, Level, int, int], ...] = (
    ("limit 200, 4 workers", lambda now_s: 200, 30_000, 4),
    ("limit 8, 4 workers", lambda now_s: 8, 1_500, 4),
    ("limit 3, 4 workers", lambda now_s: 3, 600, 4),
    ("200 → 50 → 200, 4 workers", steps((0, 200), (20, 50), (60, 200)), 16_000, 4),
    ("limit 2000, 8 workers", lambda now_s: 2_000, 60_000, 8),
)
"""Name, hidden limit, rows and workers."""


def used(endpoint: Endpoint, from_s: float) -> float:
    """Return the share of the slots' time that was used."""
    ticks = range(int(from_s * 100), int(endpoint.last_answer_s * 100))
    return endpoint.busy_s / sum(endpoint.limit(tick / 100) / 100 for tick in ticks)


def main() -> None:
    """Print the table."""
    print(f"{'scenario':28} {'one process':>12} {'rejected':>9} {'cluster':>8} {'rejected':>9} {'ratio':>6}")
    for name, limit, rows, workers in SCENARIOS:
        alone = Endpoint(limit, lognormal(0.3))
        send_all(alone, rows)
        shared = Endpoint(limit, lognormal(0.3))
        cluster = Cluster(shared, starts_s=STARTS_S)
        cluster.run(rows, workers=workers)
        assert len(cluster.outcomes) == rows
        one, many = used(alone, 0.0), used(shared, STARTS_S)
        figures = f"{one:12.3f} {alone.rejected / alone.received:9.2%}"
        print(f"{name:28} {figures} {many:8.3f} {shared.rejected / shared.received:9.2%} {many / one:6.3f}", flush=True)


if __name__ == "__main__":
    main()
