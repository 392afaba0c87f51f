"""A soak: hours with faults of every kind at once, in which memory and descriptors must stay flat.

On a virtual clock, the real pool against a server model: eight hours take minutes. Over sockets, `batchrun run` against
the simulator in another process, which is stopped when the time is over.

`python tests/benchmarks/soak.py`, `python tests/benchmarks/soak.py --real-s 3600`
"""

import argparse
import asyncio
import gc
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.inputs import write_rows
from harness.clock import run_virtually
from harness.endpoints import Endpoint, lognormal, refusal
from harness.runs import requests, route

from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.rules import Listeners
from batchrun.records import Fault, Outcome, Reply, Request

HOURS = 8
LATENCY_S = 10.0
"""Median of an answer on the virtual clock: a slow model, so that eight hours have some ten thousand rows."""

MOST_GROWTH = 1.05
"""Objects, memory and descriptors of the last part of the time over those of the second: the first one warms up."""

_FAULTS = (
    *(refusal(status, "no") for status in (408, 409, 425, 500, 502, 503, 504, 529)),
    refusal(429, "Concurrency limit reached for requests"),
    refusal(429, "Rate limit reached for requests per min (RPM)", retry_after="7"),
    refusal(503, "Worker at capacity", retry_after="2"),
    Reply(200, {}, b"<html>", 0.1),
    Reply(200, {}, b'{"error": {"message": "no"}}', 0.1),
    Reply(200, {}, b'{"choices": []}', 0.1),
    Fault("connection", "refused", 0.01, was_sent=False),
    Fault("connection", "reset", 3.0),
    Fault("connection", "stale", 0.01, is_stale=True),
    Fault("timeout", "no answer in time", 60.0),
    Fault("bad_reply", "not HTTP", 1.0),
)
_SHARE = 0.05
"""Of all attempts: that many have one of the faults."""

_AWAY_S, _AWAY_EVERY_S = 300.0, 3_000.0
"""So long, so often, the server is away."""

_SIMULATED = {
    **dict.fromkeys(("429", "429_rpm", "500", "502", "503", "503_html", "504", "529", "520"), 0.004),
    **dict.fromkeys(("cut", "cut_body", "no_done", "html", "not_json", "error_200", "empty_choices"), 0.004),
    **dict.fromkeys(("no_usage", "null_content", "400", "redirect"), 0.002),
    "silence": 0.0002,
}
"""Fault of the simulator → the share of requests that get it."""


class _Troubles:
    """Faults of every kind, rows that are always refused, and outages."""

    def __init__(self) -> None:
        self._chance = random.Random(11)

    def __call__(self, now_s: float, body: bytes) -> Reply | Fault | None:
        if now_s % _AWAY_EVERY_S > _AWAY_EVERY_S - _AWAY_S:
            return refusal(503, "away")
        if body.endswith(b"77"):
            return refusal(400, "this prompt is refused")
        return self._chance.choice(_FAULTS) if self._chance.random() < _SHARE else None


class _Virtual:
    """The soak on the virtual clock."""

    def __init__(self, hours: int) -> None:
        self._until_s = 3600.0 * hours
        self._sent = 0
        self._kinds: Counter[str] = Counter()
        self._measured: list[tuple[int, float, int]] = []

    def run(self) -> list[tuple[int, float, int]]:
        """Run it; return objects, memory in MiB and settled rows at the end of each hour."""
        run_virtually(self._main())
        assert self._kinds.total() == self._sent, "a row was lost, or settled twice"
        print(f"rows by their end: {dict(self._kinds.most_common())}")
        return self._measured

    async def _main(self) -> None:
        limit = lambda now_s: 30 if now_s % 1_800 < 900 else 12  # noqa: E731
        neighbour = lambda now_s: random.Random(int(now_s / 60)).randint(0, 6)  # noqa: E731
        endpoint = Endpoint(limit, lognormal(LATENCY_S, 0.7), neighbour, _Troubles())
        listeners = Listeners(on_outcome=self._settled, on_event=lambda event: None, on_flight=lambda rows: None)
        chance = random.Random(7)
        pool = Pool([route(endpoint)], listeners, uniform=chance.random, unix_s=lambda: 1_700_000_000.0)
        watch = asyncio.create_task(self._watch())
        await pool.run(self._batches())
        watch.cancel()

    async def _batches(self) -> AsyncIterator[list[Request]]:
        while asyncio.get_running_loop().time() < self._until_s:
            rows = [
                each._replace(row=self._sent + each.row, body=b"row-%d" % (self._sent + each.row)) for each in _ROWS
            ]
            self._sent += len(rows)
            yield rows

    def _settled(self, outcome: Outcome) -> None:
        self._kinds[outcome.kind or "completed"] += 1

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(3600)
            gc.collect()
            self._measured.append((len(gc.get_objects()), _memory_mib(os.getpid()), self._kinds.total()))


_ROWS = requests(64)


def _memory_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def soak_virtually(hours: int = HOURS) -> bool:
    """Print objects and memory at the end of each hour; return whether they stayed flat."""
    measured = _Virtual(hours).run()
    print(f"{'hour':>5} {'rows':>8} {'objects':>9} {'MiB':>7}")
    for hour, (objects, mib, rows) in enumerate(measured, 1):
        print(f"{hour:5} {rows:8,} {objects:9,} {mib:7.1f}")
    return _is_flat("objects", [each[0] for each in measured]) & _is_flat("memory", [each[1] for each in measured])


def soak_really(seconds: float, rows: int = 20_000_000) -> bool:
    """Run against the simulator for so long; return whether memory and descriptors stayed flat."""
    command = [sys.executable, "-m", "batchrun", "simulate", "--port", "0", "--json", "--concurrency-limit", "60"]
    command += [part for name, share in _SIMULATED.items() for part in ("--error", f"{name}={share}")]
    with tempfile.TemporaryDirectory(prefix="batchrun-soak-") as folder:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert server.stdout is not None
            base_url = json.loads(server.stdout.readline())["base_url"]
            write_rows(Path(folder, "prompts.jsonl"), min(rows, int(seconds * 400) + 1_000))
            return _soak(base_url, Path(folder), seconds)
        finally:
            server.kill()
            server.wait()


def _soak(base_url: str, folder: Path, seconds: float) -> bool:
    command = [sys.executable, "-m", "batchrun", "run", "prompts.jsonl", "-m", "meta-llama/Llama-3.1-8B-Instruct"]
    command += ["-o", "run", "--base-url", base_url, "--quiet", "--timeout-s", "5"]
    variables = os.environ | {"XDG_CACHE_HOME": str(folder), "OPENAI_API_KEY": "soak"}
    run = subprocess.Popen(command, cwd=folder, env=variables)
    measured: list[tuple[float, int]] = []
    ends_s = time.monotonic() + seconds
    while run.poll() is None and time.monotonic() < ends_s:
        time.sleep(min(10.0, seconds / 30))
        measured.append((_memory_mib(run.pid), _descriptors(run.pid)))
    run.send_signal(signal.SIGTERM)
    code = run.wait(120)
    summary: dict[str, Any] = json.loads(Path(folder, "run/run.json").read_bytes())
    kinds = {each["kind"]: each["rows"] for each in summary["failures"]}
    print(f"exit code {code}: {summary['completed']:,} rows completed, {summary['failed']:,} failed: {kinds}")
    third = len(measured) // 3
    memory, descriptors = ([_mean(part) for part in _thirds(each, third)] for each in zip(*measured, strict=True))
    print(f"means of the thirds: memory {memory} MiB, descriptors {descriptors}")
    return _is_flat("memory", memory) & _is_flat("descriptors", descriptors) & (code in (0, 1, 143))


def _thirds(values: tuple[float, ...], size: int) -> list[tuple[float, ...]]:
    return [values[:size], values[size : 2 * size], values[2 * size :]]


def _mean(values: tuple[float, ...]) -> float:
    return round(sum(values) / max(1, len(values)), 1)


def _is_flat(name: str, values: list[float]) -> bool:
    growth = values[-1] / values[1]
    verdict = "met" if growth <= MOST_GROWTH else "MISSED"
    print(f"{name}: the last over the second {growth:.3f}, at most {MOST_GROWTH}: {verdict}")
    return growth <= MOST_GROWTH


def main() -> None:
    """Soak; exit with 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=int, default=HOURS, help="of virtual time; at least 3 (default: %(default)s)")
    parser.add_argument("--real-s", type=float, help="run over sockets instead, for so many seconds")
    given = parser.parse_args()
    is_flat = soak_virtually(given.hours) if given.real_s is None else soak_really(given.real_s)
    sys.exit(0 if is_flat else 1)


if __name__ == "__main__":
    main()
