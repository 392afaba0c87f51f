"""Instructions of a row, a streamed token and an exported row, and of a bare client: other work does not move them.

Each is the difference between many and few, so that the start is not in it. All is run once before, uncounted: the
first start after an installation compiles every module. `perf stat` counts where the machine lets it, otherwise
callgrind, which is part of valgrind and makes programs some fifty times slower. What a run does by the clock is put off
meanwhile (`unclocked`). Compare only figures of the same tool.
"""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from benchmarks.embeddings import DIMENSIONS, FLAGS
from benchmarks.endpoint import Endpoint, fast_endpoint
from benchmarks.figures import Figure
from benchmarks.inputs import write_rows
from benchmarks.process import batchrun, program, use
from benchmarks.rows import IN_FLIGHT, run_command
from benchmarks.sizes import Sizes
from benchmarks.streaming import floor_command

FEW, MANY = 1_024, 6_016
"""Whole numbers of bundles."""

STREAMS, FEW_TOKENS, MANY_TOKENS = 8, 100, 2_600
"""Streams, and tokens of each. So few that a program which is fifty times slower takes each token by itself."""

_TOKENS_PER_S = 50

_DEADLINE_S = 3_600.0
"""Callgrind on a busy machine may need half an hour for the many rows."""

Tool = Literal["perf", "callgrind"]

_COUNTS = {
    "perf": re.compile(r"^(\d+),[^,]*,instructions", re.MULTILINE),
    "callgrind": re.compile(r"Collected : (\d+)"),
}
"""Where the report of each tool has the number."""


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return the instructions of a row, in thousands; nothing where nothing can count them."""
    tool = find_tool(scratch)
    if tool is None:
        print("instructions are not counted here: perf has no counters, and valgrind is not installed", flush=True)
        return []
    prompts = scratch / "prompts.jsonl"
    write_rows(prompts, MANY)
    with fast_endpoint(scratch) as url:
        for command in (
            program("floor", "bare", url, "1", "1"),
            run_of(prompts, scratch / "first", url, 1),
            batchrun("export", str(scratch / "first")),
        ):
            use(command, scratch)
        bare = _of_a_row(tool, scratch, lambda rows: program("floor", "bare", url, str(rows), str(IN_FLIGHT)))
        ours = _of_a_row(tool, scratch, lambda rows: run_of(prompts, scratch / f"run-{rows}", url, rows))
    exported = _of_a_row(tool, scratch, lambda rows: batchrun("export", str(scratch / f"run-{rows}")))
    dimensions = DIMENSIONS[0]
    with Endpoint(scratch, dimensions=dimensions) as endpoint:
        url = endpoint.base_url
        embedded = _of_a_row(tool, scratch, lambda rows: run_of(prompts, scratch / f"v-{rows}", url, rows, *FLAGS))
    token, token_floor = _of_a_token(tool, scratch, prompts)
    return [
        Figure(f"bare aiohttp loop: instructions a row ({tool})", bare / 1e3, "k"),
        Figure(f"batchrun: instructions a row ({tool})", ours / 1e3, "k"),
        Figure(f"export: instructions a row ({tool})", exported / 1e3, "k"),
        Figure(f"embeddings, {dimensions} dimensions: instructions a row ({tool})", embedded / 1e3, "k"),
        Figure(f"bare uvloop protocol: instructions a token ({tool})", token_floor / 1e3, "k"),
        Figure(f"batchrun: instructions a token ({tool})", token / 1e3, "k"),
        Figure("batchrun over the bare loop: instructions", ours / bare, at_most=1.0),
        Figure("a token over the bare protocol: instructions", token / token_floor, at_most=1.5),
    ]


def run_of(prompts: Path, directory: Path, base_url: str, rows: int, *flags: str) -> list[str]:
    """Return the command that runs the first rows of a file."""
    _, _, _, *arguments = run_command(prompts, directory, base_url, "--limit", str(rows), *flags)
    return program("unclocked", *arguments)


def find_tool(scratch: Path) -> Tool | None:
    """Return what can count instructions here; None if nothing can."""
    nothing = [sys.executable, "-c", ""]
    if shutil.which("perf") and _counted("perf", nothing, scratch, expected=range(256)) is not None:
        return "perf"
    return "callgrind" if shutil.which("valgrind") else None


def _of_a_token(tool: Tool, scratch: Path, prompts: Path) -> tuple[float, float]:
    """Return the instructions of a streamed token: of a run, and of the floor."""
    counts: dict[int, tuple[int, int]] = {}
    for tokens in (FEW_TOKENS, MANY_TOKENS):
        with Endpoint(scratch, tokens=tokens, per_s=_TOKENS_PER_S) as endpoint:
            run = run_of(prompts, scratch / f"streams-{tokens}", endpoint.base_url, STREAMS, "--stream")
            floor = floor_command(endpoint.base_url, STREAMS, STREAMS)
            counts[tokens] = _count(tool, run, scratch), _count(tool, floor, scratch)
    ours, bare = (
        (many - few) / (STREAMS * (MANY_TOKENS - FEW_TOKENS))
        for few, many in zip(counts[FEW_TOKENS], counts[MANY_TOKENS], strict=True)
    )
    return ours, bare


def _of_a_row(tool: Tool, scratch: Path, command: Callable[[int], list[str]]) -> float:
    few, many = (_count(tool, command(rows), scratch) for rows in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _count(tool: Tool, command: list[str], scratch: Path) -> int:
    count = _counted(tool, command, scratch)
    if count is None:
        raise RuntimeError(f"{tool} has counted nothing of {' '.join(command)}")
    return count


def _counted(tool: Tool, command: list[str], scratch: Path, *, expected: Sequence[int] = (0,)) -> int | None:
    """Return how many instructions a command takes; None if the tool does not count them."""
    report = scratch / "instructions.txt"
    report.unlink(missing_ok=True)
    tools = {
        "perf": ["perf", "stat", "-x,", "-e", "instructions:u", "-o", str(report), "--"],
        "callgrind": ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={report}"],
    }
    # Without chance in the order of sets.
    command = ["env", "PYTHONHASHSEED=0", *tools[tool], *command]
    use(command, scratch, expected=expected, deadline_s=_DEADLINE_S)
    return count_in(tool, report.read_text(encoding="utf-8", errors="replace")) if report.exists() else None


def count_in(tool: Tool, report: str) -> int | None:
    """Return the number in the report of a tool; None if it has none."""
    found = _COUNTS[tool].search(report)
    return int(found[1]) if found else None
