"""Kill a run hundreds of times; show that no row is lost or doubled, and how many answers were bought again.

`python tests/crash.py --kills 500`; exit code 1 if the contract is broken. `harness/crashes.py` explains the audit.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from random import Random

from harness.audits import GRACE_S, Audit, Ending
from harness.crashes import PHASES, Job
from harness.ledger import serving

from batchrun.simulator import Settings

ROWS = 1500
"""Rows of one job: enough for about twenty kills, then the next job begins."""

LATENCY_S = 0.3
LANES = 2
"""Jobs that run at the same time, each with its own endpoint."""

MOST_AGAIN = 1.1
"""Most answers bought again for each request in flight at a kill, on average: these and the latest answers."""

INSPECT_EVERY = 10
"""Kills between two checks of the run directory with `status` and `export`."""


def main() -> int:
    """Kill, audit, print; return the exit code."""
    arguments = _arguments()
    began_s = time.monotonic()
    audits = _audits(arguments)
    print(_table(audits))
    print(f"{time.monotonic() - began_s:.0f} s, --seed {arguments.seed}")
    breaches = _breaches(audits)
    for breach in breaches:
        print(f"BROKEN: {breach}")
    return bool(breaches)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500, metavar="N")
    parser.add_argument("--in-flight", type=int, default=50, metavar="N", help="requests in flight")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the times of the kills")
    return parser.parse_args()


def _audits(arguments: argparse.Namespace) -> list[Audit]:
    """Kill in all lanes; return the audits of all jobs."""
    shares = [arguments.kills // LANES + (lane < arguments.kills % LANES) for lane in range(LANES)]
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(LANES) as lanes:
        try:
            done = [lanes.submit(_lane, Path(folder), lane, shares[lane], arguments, stop) for lane in range(LANES)]
            return [audit for lane in as_completed(done) for audit in lane.result()]
        finally:
            stop.set()  # after Ctrl-C, or when one lane has failed


def _lane(folder: Path, lane: int, kills: int, arguments: argparse.Namespace, stop: threading.Event) -> list[Audit]:
    """Run job after job until the number of kills is reached; return the audit of each."""
    random = Random(arguments.seed * LANES + lane)
    audits: list[Audit] = []
    with serving(Settings(latency_s=LATENCY_S, concurrency_limit=None)) as (base_url, ledger):
        while kills > 0:
            place = folder / f"job{lane}-{len(audits)}"
            job = Job(place, base_url, ledger, rows=ROWS, in_flight=arguments.in_flight, random=random)
            while not job.run(random.choice(PHASES) if job.kills < kills else None):
                if job.kills and job.kills % INSPECT_EVERY == 0:
                    job.inspect()
                if stop.is_set():
                    return audits
            audits.append(job.audit())
            kills -= job.kills
            print(f"lane {lane}: job {len(audits)} is done, {kills} kills left", file=sys.stderr)
    return audits


def _table(audits: list[Audit]) -> str:
    endings = [ending for audit in audits for ending in audit.kills]
    lines = [
        f"{'killed':10} {'kills':>6} {'in flight':>10} {'again':>7} {'ratio':>6} {'oldest lost':>12} {'half files':>11}"
    ]
    lines += [_line(phase, [ending for ending in endings if ending.phase == phase]) for phase in PHASES]
    lines.append(_line("total", endings))
    rows = sum(audit.rows for audit in audits)
    lost, doubled, wrong = (sum(getattr(audit, name) for audit in audits) for name in ("lost", "doubled", "wrong"))
    lines.append(
        f"{len(audits)} jobs, {rows:,} rows: {lost} lost, {doubled} doubled, {wrong} with the answer of another row"
    )
    return "\n".join(lines)


def _line(name: str, endings: list[Ending]) -> str:
    in_flight, again = sum(each.in_flight for each in endings), sum(each.bought_again for each in endings)
    oldest_ms = max((1000 * each.oldest_s for each in endings if each.bought_again), default=0)
    halves = sum(each.left_half for each in endings)
    ratio = _ratio(endings)
    return f"{name:10} {len(endings):6} {in_flight:10,} {again:7,} {ratio:6.3f} {max(0, oldest_ms):9.0f} ms {halves:11}"


def _ratio(endings: Sequence[Ending]) -> float:
    """Return the number of answers bought again per request in flight at a kill."""
    return sum(each.bought_again for each in endings) / max(1, sum(each.in_flight for each in endings))


def _breaches(audits: list[Audit]) -> list[str]:
    endings = [ending for audit in audits for ending in audit.kills]
    breaches = [breach for audit in audits for breach in audit.breaches]
    counts = {name: sum(getattr(audit, name) for audit in audits) for name in ("lost", "doubled", "wrong")}
    breaches += [f"{count} rows {name}" for name, count in counts.items() if count]
    if late := sum(each.oldest_s > GRACE_S for each in endings):
        cure = "if the machine was busy with other work, run it again"
        breaches.append(f"{late} kills lost answers older than {GRACE_S * 1000:.0f} ms; {cure}")
    if _ratio(endings) > MOST_AGAIN:
        breaches.append(f"more than {MOST_AGAIN} answers were bought again for each request in flight")
    return breaches


if __name__ == "__main__":
    sys.exit(main())
