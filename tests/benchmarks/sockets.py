"""The limit over real sockets: `batchrun run` against the simulator in another process, with a limit it does not know.

The same run with `--max-concurrency` at the limit is the comparison. `python tests/benchmarks/sockets.py`
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson

ROWS_PER_SLOT = 200
LATENCY_S = 0.3
MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def start_simulator(limit: int) -> tuple[subprocess.Popen[bytes], str]:
    """Start a simulator with a limit; return its process and base URL."""
    command = [sys.executable, "-m", "batchrun", "simulate", "--port", "0", "--json"]
    command += ["--concurrency-limit", str(limit), "--latency-s", str(LATENCY_S)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    return process, orjson.loads(process.stdout.readline())["base_url"]


async def _stats(base_url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(base_url.removesuffix("/v1") + "/stats") as response:
        found: dict[str, Any] = await response.json()
        return found


def run_once(limit: int, rows: int, ceiling: int) -> tuple[float, float, float]:
    """Return the share of the slots' time used, the share of requests rejected, and the duration in seconds."""
    process, base_url = start_simulator(limit)
    try:
        with tempfile.TemporaryDirectory() as folder:
            prompts = Path(folder) / "prompts.jsonl"
            prompts.write_bytes(b"".join(b'{"prompt": "Say something about %d."}\n' % row for row in range(rows)))
            command = [sys.executable, "-m", "batchrun", "run", str(prompts), "-m", MODEL, "-o", f"{folder}/run"]
            command += ["--base-url", base_url, "--quiet", "-c", str(ceiling)]
            began_s = time.monotonic()
            environment = os.environ | {"XDG_CACHE_HOME": folder, "OPENAI_API_KEY": "bench"}
            subprocess.run(command, check=True, env=environment)
            took_s = time.monotonic() - began_s
        stats = asyncio.run(_stats(base_url))
        assert stats["answered"] == rows
        return stats["slot_s"] / (limit * took_s), sum(stats["rejected"].values()) / stats["received"], took_s
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Print the table."""
    print(f"{'limit':>6} {'known':>7} {'found':>7} {'ratio':>7} {'rejected':>9} {'seconds':>8}")
    for limit in (20, 200):
        rows = limit * ROWS_PER_SLOT
        known, _, _ = run_once(limit, rows, ceiling=limit)
        found, rejected, took_s = run_once(limit, rows, ceiling=1_000)
        print(f"{limit:6} {known:7.3f} {found:7.3f} {found / known:7.3f} {rejected:9.2%} {took_s:8.1f}", flush=True)


if __name__ == "__main__":
    main()
