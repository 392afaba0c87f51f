"""A job by batches that is killed and resumed, and compared with the books of the endpoint."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from harness.by_batch import MODEL
from harness.forks import start
from harness.ledger import Ledger

_USD_PER_ROW = 0.003
"""About what a row can cost at most at the price below, in a batch."""

_JOB = """
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


class BatchJob:
    """A job by batches in a folder of its own; no other job may use its endpoint."""

    def __init__(self, folder: Path, base_url: str, ledger: Ledger, *, rows: int, batches: int) -> None:
        """Write the job and its input.

        Args:
            folder: for all files.
            base_url: of the endpoint.
            ledger: of the endpoint.
            rows: how many.
            batches: how many they fill.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.directory = folder, folder / "out"
        self._base_url, self._ledger = base_url, ledger
        self._rows, self._batches, self._cap_usd = rows, batches, rows * _USD_PER_ROW
        size = -(-rows // batches)
        job = _JOB.format(model=MODEL, base_url=base_url, size=size, cap=self._cap_usd)
        (folder / "job.toml").write_text(job)
        asked = (
            {"id": f"gsm-{number}", "prompt": f"Weng earns {number} USD an hour. How much does she earn in 50 minutes?"}
            for number in range(rows)
        )
        (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
        self.environment: dict[str, str] = {}
        """More variables of the run's environment."""

    def run(self, kill: Callable[["subprocess.Popen[str]"], None] | None) -> int:
        """Run the job, and kill it if it has not ended when `kill` returns; return its exit code."""
        environment = os.environ | {"OPENAI_API_KEY": "sk-crash"} | self.environment
        with (self.folder / "log").open("a") as log:
            process = start(["run", "job.toml"], cwd=self.folder, env=environment, stdout=log, stderr=log)
        try:
            if kill is not None:
                kill(process)
                process.send_signal(signal.SIGKILL)
            return process.wait(timeout=300)
        finally:
            process.kill()
            process.wait()

    def printed(self) -> str:
        """Return the end of what all its executions have printed."""
        return (self.folder / "log").read_text()[-2000:]

    def books(self) -> Mapping[str, Any]:
        """Return what the endpoint knows of batches."""
        with urllib.request.urlopen(self._base_url.removesuffix("/v1") + "/stats") as reply:
            books: Mapping[str, Any] = json.load(reply)["batches"]
        return books

    def breaches(self) -> list[str]:
        """Return what is not as it was promised, when the job is done."""
        results = pq.read_table(self.directory / "results.parquet").to_pylist()
        state = json.loads((self.directory / "run.json").read_text())
        books, stats = self.books(), self._ledger
        ids = [f"gsm-{number}" for number in range(self._rows)]
        cost_usd = round((stats.prompt_tokens * 5 + stats.completion_tokens * 20) / 1e6, 6)
        found = {
            "rows of the results": (len(results), self._rows),
            "rows completed": (sum(row["status"] == "completed" for row in results), self._rows),
            "labels in order": ([row["custom_id"] for row in results], ids),
            "batches created": (books["created"], self._batches),
            "lines answered": (books["answered"], self._rows),
            "requests bought twice": (sum(count > 1 for count in stats.answered_by_request.values()), 0),
            "tokens in": (state["prompt_tokens"], stats.prompt_tokens),
            "tokens out": (state["completion_tokens"], stats.completion_tokens),
            "requests not recorded": (state["unrecorded"], 0),
            "money set aside": (state["set_aside_usd"], 0.0),
            "cost": (round(state["cost_usd"], 6), cost_usd),
            "files of batches that are left": (sorted(path.name for path in self.directory.glob("batches/*")), []),
        }
        breaches = [f"{name}: {got} instead of {due}" for name, (got, due) in found.items() if got != due]
        if state["cost_usd"] > self._cap_usd:
            breaches.append(f"cost {state['cost_usd']} over the cap of {self._cap_usd}")
        return breaches
