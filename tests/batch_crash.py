"""Kill a run by batches a hundred times, from first upload to last download; compare it with the server's books.

`python tests/batch_crash.py --kills 100`; exit code 1 if a row was lost, bought twice or shown twice, a batch was
created twice, or the cap was exceeded. The server answers a creation late and lists it later, so that many kills
fall between the creation of a batch and the note of its name.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
from harness.ledger import serving

from batchrun.simulator import Settings

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
CAP_USD = 30.0
"""About what all rows can cost at most at the price below, in batches."""

JOB = """
[input]
path = "in.jsonl"
[model]
name = "{model}"
max_tokens = 40
[endpoint]
base_url = "{base_url}"
via = "batch"
batch_requests = {size}
[limits]
max_cost_usd = {cap}
[output]
dir = "out"
[prices."{model}"]
input_usd_per_mtok = 10
output_usd_per_mtok = 40
"""


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
    with tempfile.TemporaryDirectory() as folder, serving(settings) as (base_url, stats):
        place = Path(folder)
        _write(place, base_url, asked)
        kills = _run(place, asked)
        books = _books(base_url)
        breaches = _breaches(place, stats, books, asked)
    print(f"{kills} kills, {asked.rows:,} rows, {time.monotonic() - began_s:.0f} s, --seed {asked.seed}")
    print(f"batches created {books['created']}, lines answered {books['answered']:,}, tokens {books['billed_tokens']}")
    for breach in breaches:
        print(f"BROKEN: {breach}")
    return bool(breaches)


def _write(folder: Path, base_url: str, asked: argparse.Namespace) -> None:
    size = -(-asked.rows // asked.batches)
    (folder / "job.toml").write_text(JOB.format(model=MODEL, base_url=base_url, size=size, cap=CAP_USD))
    rows = (
        {"id": f"gsm-{number}", "prompt": f"Weng earns {number} USD an hour. How much does she earn in 50 minutes?"}
        for number in range(asked.rows)
    )
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _run(folder: Path, asked: argparse.Namespace) -> int:
    """Run the job until it is done; return how often it was killed."""
    random, kills = Random(asked.seed), 0
    environment = os.environ | {"OPENAI_API_KEY": "sk-crash"}
    while True:
        with (folder / "log").open("a") as log:
            command = [sys.executable, "-m", "batchrun", "run", "job.toml"]
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            code = process.wait(timeout=0.7 + 1.3 * random.random() if kills < asked.kills else 300)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        if code:
            print((folder / "log").read_text()[-2000:])
        return kills


def _books(base_url: str) -> dict[str, Any]:
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats") as reply:
        books: dict[str, Any] = json.load(reply)["batches"]
    return books


def _breaches(folder: Path, stats: Any, books: dict[str, Any], asked: argparse.Namespace) -> list[str]:
    """Return what is not as it was promised."""
    results = pq.read_table(folder / "out" / "results.parquet").to_pylist()
    state = json.loads((folder / "out" / "run.json").read_text())
    bought = stats.answered_by_request
    found = {
        "rows of the results": (len(results), asked.rows),
        "rows completed": (sum(row["status"] == "completed" for row in results), asked.rows),
        "labels in order": ([row["custom_id"] for row in results], [f"gsm-{number}" for number in range(asked.rows)]),
        "batches created": (books["created"], asked.batches),
        "lines answered": (books["answered"], asked.rows),
        "requests bought twice": (sum(count > 1 for count in bought.values()), 0),
        "tokens in": (state["prompt_tokens"], stats.prompt_tokens),
        "tokens out": (state["completion_tokens"], stats.completion_tokens),
        "requests not recorded": (state["unrecorded"], 0),
        "money set aside": (state["set_aside_usd"], 0.0),
        "cost": (round(state["cost_usd"], 6), round((stats.prompt_tokens * 5 + stats.completion_tokens * 20) / 1e6, 6)),
    }
    breaches = [f"{name}: {got} instead of {due}" for name, (got, due) in found.items() if got != due]
    if state["cost_usd"] > CAP_USD:
        breaches.append(f"cost {state['cost_usd']} over the cap of {CAP_USD}")
    return breaches


if __name__ == "__main__":
    sys.exit(main())
