"""A run at several endpoints over real sockets, compared with the time of their slots.

Four servers that differ in limit and speed; then two, of which one is killed for 20 s, and after it the other. What the
servers have counted themselves is compared with the results. `python tests/benchmarks/several.py`
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

FOUR = ((10, 0.2), (20, 0.4), (40, 0.6), (80, 1.0))
"""Slots and median latency of each server, in seconds."""

MEAN = 1.0632
"""Mean of the simulator's latencies, as a multiple of their median: exp(0.35² / 2)."""

AWAY_S = 20.0


class Server:
    """A simulator in a process of its own, which can be killed and started again at the same address."""

    def __init__(self, slots: int, latency_s: float) -> None:
        self.slots, self.latency_s, self._port = slots, latency_s, 0
        self._earlier: list[dict[str, Any]] = []
        self.start()

    def start(self) -> None:
        """Serve."""
        limits = ("--concurrency-limit", str(self.slots), "--latency-s", str(self.latency_s))
        command = [sys.executable, "-m", "batchrun", "simulate", "--port", str(self._port), "--json", *limits]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        served = json.loads(self._process.stdout.readline())
        self.base_url, self._port = served["base_url"], served["port"]

    def kill(self) -> None:
        """End it at once; its books are read before."""
        self._earlier.append(self._book())
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _book(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/stats") as answer:
            book: dict[str, Any] = json.load(answer)
            return book

    def total(self, name: str) -> float:
        """Return what it has counted over all its lives."""
        return float(sum(book[name] for book in (*self._earlier, self._book())))


def run(rows: int, servers: list[Server], scratch: Path) -> dict[str, Any]:
    """Send rows to all servers; return run.json."""
    lines = (json.dumps({"prompt": f"row {number}"}) for number in range(rows))
    (scratch / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    urls = [part for server in servers for part in ("--base-url", server.base_url)]
    command = [sys.executable, "-m", "batchrun", "run", "in.jsonl", "-m", MODEL, "-o", "out", "--quiet", *urls]
    environment = os.environ | {"XDG_CACHE_HOME": str(scratch), "OPENAI_API_KEY": "bench"}
    subprocess.run(command, cwd=scratch, check=True, env=environment)
    found: dict[str, Any] = json.loads((scratch / "out" / "run.json").read_text())
    return found


def four(scratch: Path) -> None:
    """Print the share of each server's slots that was used, and of requests that were rejected."""
    servers = [Server(*each) for each in FOUR]
    rate = sum(slots / latency_s for slots, latency_s in FOUR) / MEAN
    found = run(round(60 * rate), servers, scratch)
    took_s = found["executions"][-1]["running_s"]
    for server in servers:
        used = server.total("slot_s") / (server.slots * took_s)
        print(f"{server.slots:3} slots, {server.latency_s:.1f} s: {used:.3f} used")
    used = sum(server.total("slot_s") for server in servers) / (sum(server.slots for server in servers) * took_s)
    rejected = found["throttled"] / found["attempts"]
    print(f"together: {used:.3f} used (≥ 0.95), {rejected:.2%} rejected (≤ 1 %), {found['failed']} failed")
    for server in servers:
        server.kill()


def killed_in_turn(scratch: Path) -> None:
    """Print how long a run takes of whose two servers each is away for 20 s, next to the time of its slots."""
    servers = [Server(20, 0.5), Server(20, 0.5)]
    rate = 20 / 0.5 / MEAN

    def behave() -> None:
        for server in servers:
            time.sleep(15)
            server.kill()
            time.sleep(AWAY_S)
            server.start()

    behaving = threading.Thread(target=behave)
    behaving.start()
    rows = round(90 * 2 * rate)
    found = run(rows, servers, scratch)
    behaving.join()
    ideal_s = rows / (2 * rate) + AWAY_S  # two servers away for 20 s each are one pair away for 20 s
    took_s = found["executions"][-1]["running_s"]
    bought_twice = sum(server.total("answered") for server in servers) - found["completed"]
    print(f"each of two killed for 20 s: {took_s:.1f} s, {took_s / ideal_s:.3f} × ideal (≤ 1.1)")
    print(f"{found['completed']:,} of {rows:,} completed, {found['failed']} failed, {bought_twice:.0f} bought twice")
    for server in servers:
        server.kill()


def main() -> None:
    """Print both."""
    for part in (four, killed_in_turn):
        with tempfile.TemporaryDirectory() as scratch:
            part(Path(scratch))


if __name__ == "__main__":
    main()
