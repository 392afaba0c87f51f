"""Cut the power of runs hundreds of times: what was not forced to the disk is lost, kept, torn or reordered by chance.

`python tests/power.py --cuts 300`; exit code 1 if the contract is broken. `harness/power` records what a run writes.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from harness.audits import Audit
from harness.crashes import PHASES
from harness.ledger import serving
from harness.power.batches import PowerBatchJob
from harness.power.commands import Cuts
from harness.power.cuts import LOST_S, PowerJob, recorder

from batchrun.simulator import Settings

ROWS, IN_FLIGHT, LATENCY_S = 1000, 40, 0.3
MOST_CUTS = 12
"""Of one job."""

LONGEST_S = 3.0
"""Longest time from the first request to a cut: the disk is forced once a second."""

SLACK_S = 0.3
"""How long the disk and a busy machine may take to force it."""

INSPECT_EVERY = 6

AT_ONCE = 20
"""Cuts of one command."""

COMMANDS = (Cuts.export, Cuts.upload, Cuts.salvage, Cuts.restart, Cuts.edit, Cuts.frame, Cuts.pipe)
"""Each gets a fifteenth of the cuts."""

BATCHES_SHARE = 6
"""Runs by batches get one cut of so many; the rest is for runs that send requests."""

BATCH_ROWS, BATCHES = 480, 8
BATCH_ENDPOINT = Settings(latency_s=0, batch_lines_per_s=5, batch_reply_s=0.2, batch_list_lag_s=0.3)
"""Answers a creation late and lists it later: many cuts fall between the creation of a batch and its note."""


def main() -> int:
    """Cut, audit, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the moments, and of what is lost")
    arguments = parser.parse_args()
    random, began_s = Random(arguments.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        library = recorder(Path(folder))
        each, by_batch = arguments.cuts // 15, arguments.cuts // BATCHES_SHARE
        breaches = _commands(Path(folder), library, random, each)
        breaches += _batches(Path(folder), library, random, by_batch)
        breaches += _runs(Path(folder), library, random, arguments.cuts - len(COMMANDS) * each - by_batch)
    print(f"{time.monotonic() - began_s:.0f} s, --seed {arguments.seed}")
    for breach in breaches:
        print(f"BROKEN: {breach}")
    return bool(breaches)


def _commands(folder: Path, library: Path, random: Random, cuts: int) -> list[str]:
    breaches: list[str] = []
    for command in COMMANDS:
        left = cuts
        while left > 0:
            cut = Cuts(folder / f"{command.__name__}{left}", library, random, min(AT_ONCE, left))
            command(cut)
            left -= AT_ONCE
            breaches += cut.breaches
        print(f"{command.__name__}: {cuts} cuts", flush=True)
    return breaches


def _batches(folder: Path, library: Path, random: Random, cuts: int) -> list[str]:
    breaches: list[str] = []
    left, jobs = cuts, 0
    while left > 0:
        place, jobs = folder / f"batches{jobs}", jobs + 1
        with serving(BATCH_ENDPOINT) as (url, ledger):
            settings = {"rows": BATCH_ROWS, "batches": BATCHES, "library": library, "random": random}
            job = PowerBatchJob(place, url, ledger, **settings)
            is_done = False
            while not is_done and job.cuts < min(MOST_CUTS, left):
                is_done = job.cut()
            breaches += [f"{place.name}: {breach}" for breach in job.end()]
        left -= job.cuts
    print(f"by batches: {cuts} cuts of {jobs} jobs", flush=True)
    return breaches


def _runs(folder: Path, library: Path, random: Random, cuts: int) -> list[str]:
    audits: list[Audit] = []
    breaches: list[str] = []
    left = cuts
    with serving(Settings(latency_s=LATENCY_S, concurrency_limit=None)) as (url, ledger):
        while left > 0:
            place = folder / f"job{len(audits)}"
            settings = {"rows": ROWS, "in_flight": IN_FLIGHT, "longest_s": LONGEST_S}
            job = PowerJob(place, url, ledger, random=random, library=library, **settings)
            while not job.run(random.choice(PHASES) if job.kills < min(MOST_CUTS, left) else None):
                if job.kills and job.kills % INSPECT_EVERY == 0:
                    job.inspect()
            audits.append(job.audit())
            left -= job.kills
            breaches += [f"{place.name}: recorded otherwise: {name}" for name in job.check_record()]
            print(f"running: {max(0, left)} cuts left", file=sys.stderr, flush=True)
    return breaches + _judged(audits)


def _judged(audits: list[Audit]) -> list[str]:
    """Print what was lost; return what breaks the contract."""
    cuts = [ending for audit in audits for ending in audit.kills]
    oldest_s = max(ending.oldest_s for ending in cuts)
    again, in_flight = sum(each.bought_again for each in cuts), sum(each.in_flight for each in cuts)
    lost, doubled, wrong = (sum(getattr(audit, name) for audit in audits) for name in ("lost", "doubled", "wrong"))
    print(
        f"running: {len(cuts)} cuts of {len(audits)} jobs: {in_flight:,} in flight, {again:,} bought again, the oldest "
        f"{oldest_s * 1000:.0f} ms old; {lost} rows lost, {doubled} doubled, {wrong} with another's answer"
    )
    breaches = [breach for audit in audits for breach in audit.breaches]
    breaches += [f"{count} rows lost, doubled or wrong" for count in [lost + doubled + wrong] if count]
    if oldest_s > LOST_S + SLACK_S:
        breaches.append(f"an answer was lost that was {oldest_s:.2f} s old")
    return breaches


if __name__ == "__main__":
    sys.exit(main())
