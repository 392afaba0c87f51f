"""Instructions of a row, a streamed token and an exported row, and of a bare client: other work does not move them.

Each is the difference between many and few, so that the start is not in it. Both are counted at the same time, each on
a core of its own: instructions do not change by that. All is run once before, uncounted: the first start after an
installation compiles every module. `perf stat` counts where the machine lets it, otherwise callgrind, which is part of
valgrind and makes programs some fifty times slower. What a run does by the clock is put off meanwhile (`unclocked`).
Compare only figures of the same tool.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from benchmarks.embeddings import DIMENSIONS, FLAGS
from benchmarks.endpoint import Endpoint, fast_endpoint
from benchmarks.figures import Figure
from benchmarks.inputs import write_rows
from benchmarks.process import CLIENT_CORE, SERVER_CORE, batchrun, program, use
from benchmarks.rows import IN_FLIGHT, run_command
from benchmarks.sizes import Sizes
from benchmarks.streaming import floor_command

FEW, MANY = 1_024, 4_096
"""Whole numbers of bundles, and all slots are used: the start takes more instructions than a thousand rows. The few are
enough for a dictionary of answers to be learned, once in a run, for as much as a hundred rows take."""

STREAMS, FEW_TOKENS, MANY_TOKENS = 8, 100, 1_100
"""Streams, and tokens of each. So few that a program which is fifty times slower takes each token by itself."""

_TOKENS_PER_S = 50

_DEADLINE_S = 3_600.0
"""Callgrind on a busy machine may need half an hour for the many rows."""

CORES = SERVER_CORE, CLIENT_CORE
"""For few and for many. The server needs little: a tool that counts makes its clients slow."""

Tool = Literal["perf", "callgrind"]

_COUNTS = {
    "perf": re.compile(r"^(\d+),[^,]*,instructions", re.MULTILINE),
    "callgrind": re.compile(r"Collected : (\d+)"),
}
"""Where the report of each tool has the number."""


def measure(sizes: Sizes, scratch: Path) -> Iterator[Figure]:
    """Yield the instructions of a row, in thousands, each when it is known; nothing where nothing can count them."""
    tool = find_tool(scratch)
    if tool is None:
        print("instructions are not counted here: perf has no counters, and valgrind is not installed", flush=True)
        return
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
        yield Figure(f"bare aiohttp loop: instructions a row ({tool})", bare / 1e3, "k")
        ours = _of_a_row(tool, scratch, lambda rows: run_of(prompts, scratch / f"run-{rows}", url, rows))
        yield Figure(f"batchrun: instructions a row ({tool})", ours / 1e3, "k")
        yield Figure("batchrun over the bare loop: instructions", ours / bare, at_most=1.0)
    exported = _of_a_row(tool, scratch, lambda rows: batchrun("export", str(scratch / f"run-{rows}")))
    yield Figure(f"export: instructions a row ({tool})", exported / 1e3, "k")
    dimensions = DIMENSIONS[0]
    with Endpoint(scratch, dimensions=dimensions) as endpoint:
        url = endpoint.base_url
        embedded = _of_a_row(tool, scratch, lambda rows: run_of(prompts, scratch / f"v-{rows}", url, rows, *FLAGS))
    yield Figure(f"embeddings, {dimensions} dimensions: instructions a row ({tool})", embedded / 1e3, "k")
    yield from _of_a_token(tool, scratch, prompts)


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


def _of_a_token(tool: Tool, scratch: Path, prompts: Path) -> Iterator[Figure]:
    """Yield the instructions of a streamed token: of the floor, and of a run."""
    tokens = STREAMS * (MANY_TOKENS - FEW_TOKENS)
    with (
        Endpoint(scratch, tokens=FEW_TOKENS, per_s=_TOKENS_PER_S) as few,
        Endpoint(scratch, tokens=MANY_TOKENS, per_s=_TOKENS_PER_S) as many,
    ):
        urls = few.base_url, many.base_url
        bare = _more(tool, scratch, *(floor_command(url, STREAMS, STREAMS) for url in urls)) / tokens
        yield Figure(f"bare uvloop protocol: instructions a token ({tool})", bare / 1e3, "k")
        runs = (
            run_of(prompts, scratch / f"streams-{number}", url, STREAMS, "--stream") for number, url in enumerate(urls)
        )
        ours = _more(tool, scratch, *runs) / tokens
    yield Figure(f"batchrun: instructions a token ({tool})", ours / 1e3, "k")
    yield Figure("a token over the bare protocol: instructions", ours / bare, at_most=1.5)


def _of_a_row(tool: Tool, scratch: Path, command: Callable[[int], list[str]]) -> float:
    return _more(tool, scratch, command(FEW), command(MANY)) / (MANY - FEW)


def _more(tool: Tool, scratch: Path, few: list[str], many: list[str]) -> int:
    """Return how many more instructions the second of two commands takes."""
    with ThreadPoolExecutor(2) as threads:
        counts = threads.map(lambda command, core: _count(tool, command, scratch, core), (few, many), CORES)
        least, most = counts
    return most - least


def _count(tool: Tool, command: list[str], scratch: Path, core: int) -> int:
    count = _counted(tool, command, scratch, core=core)
    if count is None:
        raise RuntimeError(f"{tool} has counted nothing of {' '.join(command)}")
    return count


def _counted(
    tool: Tool, command: list[str], scratch: Path, *, expected: Sequence[int] = (0,), core: int = CLIENT_CORE
) -> int | None:
    """Return how many instructions a command takes; None if the tool does not count them."""
    report = scratch / f"instructions-{core}.txt"
    report.unlink(missing_ok=True)
    tools = {
        "perf": ["perf", "stat", "-x,", "-e", "instructions:u", "-o", str(report), "--"],
        "callgrind": ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={report}"],
    }
    # Without chance in the order of sets.
    command = ["env", "PYTHONHASHSEED=0", *tools[tool], *command]
    use(command, scratch, expected=expected, deadline_s=_DEADLINE_S, core=core)
    return count_in(tool, report.read_text(encoding="utf-8", errors="replace")) if report.exists() else None


def count_in(tool: Tool, report: str) -> int | None:
    """Return the number in the report of a tool; None if it has none."""
    found = _COUNTS[tool].search(report)
    return int(found[1]) if found else None
