"""Kill a run by batches a hundred times, from first upload to last download; compare it with the server's books.

`python tests/batch_crash.py --kills 100`; exit code 1 if a row was lost, bought twice or shown twice, a batch was
created twice, or the cap was exceeded. The server answers a creation late and lists it later, so that many kills
fall between the creation of a batch and the note of its name.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from harness.batch_job import BatchJob
from harness.ledger import serving

from batchrun.simulator import Settings


def main() -> int:
    """Kill, compare, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--rows", type=int, default=10_000, metavar="N")
    parser.add_argument("--batches", type=int, default=4, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the times of the kills")
    asked = parser.parse_args()
    per_s = asked.rows / asked.batches / max(1.0, asked.kills / 2)
    settings = Settings(latency_s=0, batch_lines_per_s=per_s, batch_reply_s=0.05, batch_list_lag_s=0.3)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, serving(settings) as (base_url, ledger):
        job = BatchJob(Path(folder), base_url, ledger, rows=asked.rows, batches=asked.batches)
        kills = _run(job, Random(asked.seed), asked.kills)
        books, breaches = job.books(), job.breaches()
    print(f"{kills} kills, {asked.rows:,} rows, {time.monotonic() - began_s:.0f} s, --seed {asked.seed}")
    print(f"batches created {books['created']}, lines answered {books['answered']:,}, tokens {books['billed_tokens']}")
    for breach in breaches:
        print(f"BROKEN: {breach}")
    return bool(breaches)


def _run(job: BatchJob, random: Random, most: int) -> int:
    """Run the job until it is done; return how often it was killed."""
    kills = 0
    while kills < most and (code := job.run(lambda process: _wait(process, 0.15 + 0.75 * random.random()))) < 0:
        kills += 1
    if kills == most:
        code = job.run(None)
    if code:
        print(job.printed())
    return kills


def _wait(process: "subprocess.Popen[str]", longest_s: float) -> None:
    """Wait until a process has ended, or for some time."""
    try:
        process.wait(timeout=longest_s)
    except subprocess.TimeoutExpired:
        return


if __name__ == "__main__":
    sys.exit(main())
