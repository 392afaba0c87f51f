"""The benchmarks run, with sizes too small to mean anything; `make bench` measures."""

import math
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
from benchmarks import connections, embeddings, instructions, million, rows, short, start, streaming
from benchmarks.answers import ANSWER, REFUSAL
from benchmarks.endpoint import SILENT, Endpoint, fast_endpoint
from benchmarks.figures import Figure, find_before, keep, record
from benchmarks.inputs import write_rows
from benchmarks.process import batchrun, program, started, use
from benchmarks.sizes import Sizes
from harness import forks

TINY = Sizes(
    rounds=1,
    rows=300,
    openai_rows=20,
    embeddings=128,
    few=20,
    many=300,
    typed=100,
    big_mib=1,
    in_flight=10,
    latency_ms=20,
    turns=10,
    streams=5,
    tokens=10,
    tokens_per_s=200,
    most_slots=8,
)


def forked(command: list[str], *, env: dict[str, str], **settings: Any) -> subprocess.Popen[Any]:
    """Start a process; one of batchrun as a fork. It needs no path of the benchmarks."""
    if command[:3] != batchrun():
        return subprocess.Popen(command, env=env, **settings)
    return forks.start(
        command[3:], env={name: value for name, value in env.items() if name != "PYTHONPATH"}, **settings
    )


PARTS = (million, rows, embeddings, start, streaming, connections, short)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[ModuleType, Future[list[Figure]]]]:
    """All parts, measured at the same time and on any core: no test here looks at their durations."""
    with pytest.MonkeyPatch.context() as patched, ThreadPoolExecutor(len(PARTS)) as threads:
        patched.setattr("benchmarks.process._pin", lambda pid, core: None)
        patched.setattr("benchmarks.process.popen", forked)
        yield {part: threads.submit(part.measure, TINY, tmp_path_factory.mktemp("part")) for part in PARTS}


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_part_returns_its_figures(part, measured) -> None:
    """Figures are positive numbers with different names; a difference is a number."""
    figures = measured[part].result()
    assert len({figure.name for figure in figures}) == len(figures) >= 5
    assert [figure for figure in figures if not math.isfinite(figure.value)] == []
    assert [each for each in figures if each.value <= 0 and each.name not in streaming.NOT_POSITIVE] == []


def test_the_instructions_of_a_row_or_token_are_the_difference_between_many_and_few(
    tmp_path: Path, monkeypatch
) -> None:
    """The start is not in them. Each figure is known before the next one is measured."""
    counted: dict[int, list[list[str]]] = {core: [] for core in instructions.CORES}
    _, many = instructions.CORES

    def count(tool: str, command: list[str], scratch: Path, *, core: int) -> int:
        counted[core].append(command)
        return 7_000_000 + 4_000 * len(counted[core]) * (30 if core == many else 10)

    monkeypatch.setattr(instructions, "FEW", 10)
    monkeypatch.setattr(instructions, "MANY", 30)
    monkeypatch.setattr(instructions, "find_tool", lambda scratch: "callgrind")
    monkeypatch.setattr(instructions, "_counted", count)
    figures = [(figure.value, len(counted[many])) for figure in instructions.measure(TINY, tmp_path)]
    bare, ours, exported, embedded, token_floor, token = 4.0, 8.0, 12.0, 16.0, 0.05, 0.06
    assert figures == [
        *((bare, 1), (ours, 2), (ours / bare, 2), (exported, 3), (embedded, 4)),
        *((token_floor, 5), (token, 6), (token / token_floor, 6)),
    ]
    programs = ["benchmarks.floor", "benchmarks.unclocked", "batchrun", "benchmarks.unclocked"]
    for core in instructions.CORES:
        assert [command[2] for command in counted[core]] == [
            *programs,
            "benchmarks.stream_floor",
            "benchmarks.unclocked",
        ]


def test_a_run_whose_instructions_are_counted_is_a_whole_run(tmp_path: Path) -> None:
    """Its commits are put off, and made at the end."""
    write_rows(tmp_path / "in.jsonl", 20)
    with fast_endpoint(tmp_path) as base_url:
        use(instructions.run_of(tmp_path / "in.jsonl", tmp_path / "out", base_url, 10), tmp_path)
    assert pq.read_metadata(tmp_path / "out" / "results.parquet").num_rows == 10


@pytest.mark.parametrize(
    ("tool", "report", "count"),
    [
        ("perf", "# started on Sat\n\n48210,,instructions:u,1000000,100.00,,\n", 48_210),
        ("perf", "# started on Sat\n\n<not supported>,,instructions:u,0,100.00,,\n", None),
        ("callgrind", "==7== Events    : Ir\n==7== Collected : 6351506675\n", 6_351_506_675),
        ("callgrind", "valgrind: failed to start tool\n", None),
    ],
)
def test_the_count_of_instructions_is_read_from_the_report_of_the_tool(tool, report, count) -> None:
    """Where the machine has no counters, perf reports that instead."""
    assert instructions.count_in(tool, report) == count


def test_where_nothing_counts_instructions_the_benchmark_says_so(tmp_path: Path, monkeypatch, capsys) -> None:
    """It measures the rest."""
    monkeypatch.setattr("shutil.which", lambda name, **_: None)
    assert list(instructions.measure(TINY, tmp_path)) == []
    assert "perf has no counters, and valgrind is not installed" in capsys.readouterr().out


def _post(base_url: str, body: bytes) -> bytes:
    with urllib.request.urlopen(f"{base_url}/chat/completions", data=body, timeout=10) as response:
        return response.read()


def test_the_answer_has_the_size_that_the_targets_assume() -> None:
    """560 bytes."""
    assert len(ANSWER) == 560


def test_the_fast_endpoint_gives_the_static_answer(tmp_path: Path) -> None:
    """With either server."""
    with fast_endpoint(tmp_path) as base_url:
        assert _post(base_url, b"{}") == ANSWER


def test_without_nginx_the_server_of_the_benchmarks_answers(tmp_path: Path, monkeypatch) -> None:
    """It also answers requests whose body arrives in pieces."""
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with fast_endpoint(tmp_path) as base_url:
        assert _post(base_url, b"x" * 200_000) == ANSWER


@pytest.mark.parametrize("has_nginx", [True, False])
def test_an_endpoint_can_refuse_some_requests(tmp_path: Path, monkeypatch, has_nginx: bool) -> None:
    """With a 400."""
    if not has_nginx:
        monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with fast_endpoint(tmp_path, refuse_every=1) as base_url:
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            _post(base_url, b"{}")
        assert refused.value.read() == REFUSAL


def test_the_server_counts_its_requests(tmp_path: Path) -> None:
    """The time of the first, their number, and the most in flight."""
    began_s = time.monotonic()
    with Endpoint(tmp_path, full=1) as endpoint:
        for _ in range(3):
            assert _post(endpoint.base_url, b"{}") == ANSWER
        assert began_s < endpoint.first_s() < time.monotonic()
        counts = endpoint.counts()
    assert (counts["received"], counts["answered"], counts["most"], counts["turns"]) == (3, 3, 1, [2])


def test_the_server_streams_answers_token_by_token(tmp_path: Path) -> None:
    """As server-sent events that end in `[DONE]`."""
    with Endpoint(tmp_path, tokens=3, per_s=1000) as endpoint:
        events = _post(endpoint.base_url, b"{}").split(b"\n\n")
        assert endpoint.first_s() > 0
        assert endpoint.counts()["answered"] == 1
    assert [b'" word"' in event for event in events] == [True, True, True, True, False, False]
    assert events[-2:] == [b"data: [DONE]", b""]


def test_a_silent_endpoint_does_not_answer(tmp_path: Path) -> None:
    """But it counts the request."""
    with Endpoint(tmp_path, latency_s=SILENT) as endpoint:
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{endpoint.base_url}/chat/completions", data=b"{}", timeout=0.05)
        assert (endpoint.first_s() > 0, endpoint.counts()["answered"]) == (True, 0)


def test_the_whole_process_is_measured(tmp_path: Path) -> None:
    """CPU, wall time, memory and output of a command."""
    busy = "end = time.process_time() + 0.1\nwhile time.process_time() < end: pass"
    code = f"import time; held = bytearray(200 << 20); {busy}\nprint(7)"
    used = use([sys.executable, "-c", code], tmp_path)
    assert used.stdout == b"7\n"
    assert 0.1 <= used.cpu_s < 2
    assert used.wall_s >= 0.1
    assert used.peak_bytes >= 200 << 20


def test_a_failed_command_is_not_a_measurement(tmp_path: Path) -> None:
    """Its output is in the error."""
    with pytest.raises(RuntimeError, match="out of order"):
        use([sys.executable, "-c", "import sys; sys.exit('out of order')"], tmp_path)


def test_a_command_that_hangs_is_killed_at_its_deadline(tmp_path: Path) -> None:
    """It is not a measurement."""
    with pytest.raises(RuntimeError, match="exit -9"):
        use([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, deadline_s=0.1)


def test_a_started_process_ends_with_its_context(tmp_path: Path) -> None:
    """Also after an error."""
    with pytest.raises(ZeroDivisionError), started(program("answers"), tmp_path) as process:
        _ = 1 / 0
    assert process.returncode == -9


@pytest.mark.parametrize(
    ("figure", "target", "verdict"),
    [
        (Figure("ratio", 1.3, at_most=1.3), "≤ 1.3", "met"),
        (Figure("ratio", 1.31, at_most=1.3), "≤ 1.3", "MISSED"),
        (Figure("ratio", 15.0, at_least=15), "≥ 15", "met"),
        (Figure("ratio", 14.9, at_least=15), "≥ 15", "MISSED"),
        (Figure("ratio", math.nan, at_least=15), "≥ 15", "MISSED"),
        (Figure("ratio", 2.0), "", ""),
    ],
)
def test_a_figure_knows_whether_its_target_is_met(figure: Figure, target: str, verdict: str) -> None:
    """A value at the bound meets it; a missing value does not."""
    assert (figure.target, figure.verdict) == (target, verdict)


def test_two_commits_can_be_compared(tmp_path: Path) -> None:
    """With the last run of another commit with the same parts and sizes, or of a named commit."""
    kept = tmp_path / "runs" / "benchmarks.jsonl"
    for name, rows_sent, part in [("aaa", 10, "rows"), ("bbb", 10, "rows"), ("ccc", 20, "rows"), ("ddd", 10, "start")]:
        keep(record("nginx", {"rows": rows_sent}, name) | {"figures": {part: {}}}, kept)
    now = record("nginx", {"rows": 10}, "ddd")
    assert find_before(now, ["rows"], path=kept)["commit"] == "bbb"
    assert find_before(now, ["rows"], "aa", path=kept)["commit"] == "aaa"
    assert find_before(now, ["start"], path=kept)["commit"] == "ddd"
    assert find_before(now, ["start", "rows"], path=kept) is None
    assert find_before(now, ["rows"], "ccc", path=kept) is None
    assert find_before(record("uvloop", {"rows": 10}, "ddd"), ["rows"], path=kept) is None
    assert find_before(now, ["rows"], path=tmp_path / "none.jsonl") is None


def test_a_record_has_the_commit_and_the_versions() -> None:
    """Those of every package that matters."""
    kept = record("nginx", {"rows": 10})
    assert kept["commit"]
    assert {"python", "batchrun-llm", "aiohttp", "uvloop", "orjson", "pyarrow", "openai"} == set(kept["versions"])
