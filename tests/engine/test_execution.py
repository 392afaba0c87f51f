"""One execution, against the embedded simulator."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import write_prompts

from batchrun.engine import execution
from batchrun.engine.interruption import Interruption
from batchrun.engine.options import Options
from batchrun.engine.preflight.preview import Preview
from batchrun.engine.prepared import Team
from batchrun.engine.runner import run
from batchrun.errors import JobError
from batchrun.job.sections import Input, Job, Limits, Model, Output, Price
from batchrun.records import Figures, RowCount, Stop
from batchrun.report.bar import Silence
from batchrun.results.state import figures_of, summary_of
from batchrun.results.summary import Summary

ONE = ("m",)
TWO = ("m", "n")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty folder and its own home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


class Recorder(Silence):
    """Keeps the figures and messages of a run."""

    def __init__(self, *, stops_early: bool) -> None:
        self.figures: list[Figures] = []
        self.messages: list[str] = []
        self.interruption = Interruption()
        self._stops_early = stops_early

    def show(self, figures: Figures) -> None:
        """Keep the figures; if wanted, stop the run once the number of rows is known."""
        self.figures.append(figures)
        if self._stops_early and figures.total is not None:
            self.interruption.interrupt(Stop(kind="deadline", message="enough", exit_code=5))

    def say(self, message: str) -> None:
        """Keep the message."""
        self.messages.append(message)


def simulated(
    models: tuple[str, ...] = ONE, samples: int = 1, *, stops_early: bool = False, **settings: Any
) -> tuple[Summary, Recorder]:
    """Run `in.jsonl` into `out`."""
    job = Job(
        input=Input(path=("in.jsonl",), **settings),
        model=Model(names=models, num_samples=samples),
        limits=Limits(max_concurrency=4 if stops_early else 1000),
        output=Output(dir="out"),
    )
    recorder = Recorder(stops_early=stops_early)
    return run(job, Options(simulate=True, progress=recorder, interruption=recorder.interruption)), recorder


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs that are neither counted nor read whole before they are sent, as large remote ones."""
    monkeypatch.setattr("batchrun.engine.preflight.preview._WHOLE_S", 0.0)
    monkeypatch.setattr("batchrun.engine.row_counter._QUICK_BYTES", -1)
    monkeypatch.setattr("batchrun.engine.row_counter._MOST_BYTES", -1)


def write_numbers(count: int) -> None:
    """Write prompts of one length, so that an estimate from the first ones is good."""
    write_prompts(*(f"{number:06}" for number in range(count)))


@pytest.mark.usefixtures("uncounted")
@pytest.mark.parametrize(
    ("settings", "total"),
    [
        pytest.param({"limit": 20, "models": TWO, "samples": 3}, RowCount(120, is_exact=True), id="a limit"),
        pytest.param({}, RowCount(40_000, is_exact=False), id="a guess"),
        pytest.param({"models": TWO, "limit": 39_000}, RowCount(78_000, is_exact=False), id="a limit below a guess"),
    ],
)
def test_every_place_that_shows_the_number_of_rows_shows_the_same(settings: dict[str, Any], total: RowCount) -> None:
    """The bar, the message at the end and run.json; also when the run is resumed."""
    write_numbers(40_000)
    is_guess_of_all = "limit" not in settings
    for _ in range(2):
        summary, recorder = simulated(stops_early=True, **settings)
        noted, message = figures_of(Path("out")).total, re.match(r"(about )?([\d,]+) rows are left; ", summary.message)
        assert message is not None
        reported = RowCount(int(message[2].replace(",", "")) + summary.rows, is_exact=message[1] is None)
        for count in (recorder.figures[-1].total, noted, reported):
            assert count is not None
            assert count.is_exact is total.is_exact
            assert count.rows == pytest.approx(total.rows, rel=0.001 if is_guess_of_all else 0)


def test_rows_that_share_a_request_are_all_counted() -> None:
    """Although the request is sent once."""
    write_prompts(*"abcabcabca")
    summary, _ = simulated(dedupe=True)
    assert (summary.rows, figures_of(Path("out")).total) == (10, RowCount(10, is_exact=True))


def test_what_is_left_of_a_finished_run_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long as the input is; but when failed rows are sent again, they are ahead."""
    write_prompts(*"abc")
    simulated()
    looked = []
    monkeypatch.setattr("batchrun.engine.preparation.preview", lambda *_, **__: looked.append(1) or Preview())
    assert simulated()[0].state == "completed"
    assert looked == []
    write_prompts(*"abcd")
    assert simulated()[0].rows == 4
    assert looked == [1]


def test_an_edited_input_is_counted_again() -> None:
    """Removed rows are not in the total, added rows are."""
    for letters in ("abcdef", "abc", "abcdefgh"):
        write_prompts(*letters)
        summary, _ = simulated()
        assert (summary.rows, figures_of(Path("out")).total) == (len(letters), RowCount(len(letters), is_exact=True))


def test_the_preview_of_rows_that_ask_the_same_marks_their_number_as_a_guess() -> None:
    """How many of the rows left are asked already is not known; there is at least one request if a row is left."""
    write_prompts(*"aaaaaaaaaaaaaaaa")
    simulated(dedupe=True)
    write_prompts(*"aaaaaaaaaaaaaaaab")
    _, recorder = simulated(dedupe=True)
    assert any(message.startswith("about 1 request, ") for message in recorder.messages)


@pytest.mark.usefixtures("uncounted")
@pytest.mark.parametrize(("rows", "line"), [(40_000, r"about (39|40),\d\d\d requests, "), (30, "30 requests, ")])
def test_the_preview_marks_an_estimated_number_of_requests(rows: int, line: str) -> None:
    """It has read the first rows only."""
    write_numbers(rows)
    _, recorder = simulated(stops_early=True)
    assert any(re.match(line, message) for message in recorder.messages)


def test_a_price_that_was_corrected_sets_nothing_aside() -> None:
    """Also when the run with the new price has nothing to send."""
    write_prompts("a")
    for usd_per_mtok in (4.0, 1.0):
        price = Price(input_usd_per_mtok=usd_per_mtok, output_usd_per_mtok=usd_per_mtok)
        job = Job(
            input=Input(path=("in.jsonl",)),
            model=Model(names=ONE, max_tokens=9),
            limits=Limits(max_cost_usd=10.0),
            output=Output(dir="out"),
            prices={"m": price},
        )
        run(job, Options(simulate=True))
        assert summary_of(Path("out")).set_aside_usd == 0.0


@pytest.fixture
def short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Previews that look at the first batch of rows only, 256 of them."""
    monkeypatch.setattr("batchrun.engine.preflight.preview._SAMPLE_ROWS", 1)
    monkeypatch.setattr("batchrun.engine.preflight.preview._WHOLE_S", 0.0)


@pytest.mark.usefixtures("short_look", "uncounted")
def test_a_finished_run_announces_nothing_when_it_is_run_again() -> None:
    """Although the first rows are shorter than the others, so that a guess from them is too high."""
    write_prompts(*("word " * (1 + row // 100) + str(row) for row in range(600)))
    _, first = simulated()
    assert any(re.match(r"about [\d,]+ requests, ", message) for message in first.messages)
    summary, second = simulated()
    assert (summary.newly_settled, [each for each in second.messages if "tokens" in each]) == (0, [])


@pytest.mark.usefixtures("short_look")
@pytest.mark.parametrize(("settings", "line"), [({}, "up to 600 requests, "), ({"limit": 500}, "up to 500 requests, ")])
def test_the_rows_of_parquet_are_known_before_they_are_read(settings: dict[str, Any], line: str) -> None:
    """How many requests they are is not: some may be broken."""
    pq.write_table(pa.table({"prompt": [str(row) * (1 + row) for row in range(600)]}), "in.parquet")
    limits = Limits(max_duration_s=1e-9)
    job = Job(
        input=Input(path=("in.parquet",), **settings), model=Model(names=ONE), limits=limits, output=Output(dir="out")
    )
    recorder = Recorder(stops_early=False)
    summary = run(job, Options(simulate=True, progress=recorder))
    assert any(message.startswith(line) for message in recorder.messages)
    assert summary.message.startswith(f"{line.split()[2]} rows are left; ")


def test_broken_rows_are_not_announced_as_requests() -> None:
    """Neither before nor after they are settled: one request is left, and it is announced."""
    Path("in.jsonl").write_text('{"prompt": "a"}\n' + "not JSON\n" * 7 + '{"prompt": "b"}\n')
    for limit in (8, None):
        _, recorder = simulated(limit=limit)
        assert any(message.startswith("1 request, ") for message in recorder.messages)


def test_the_time_that_a_run_may_take_begins_when_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the input before that may take longer than `max_duration`."""
    prepare = execution.prepare

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.5)
        return prepare(*arguments, **named)

    monkeypatch.setattr("batchrun.engine.execution.prepare", slow)
    write_prompts("a", "b")
    job = Job(
        input=Input(path=("in.jsonl",)),
        model=Model(names=ONE),
        limits=Limits(max_duration_s=0.45),
        output=Output(dir="out"),
    )
    recorder = Recorder(stops_early=False)
    run(job, Options(simulate=True, progress=recorder))
    (line,) = (message for message in recorder.messages if message.startswith("stops at "))
    assert re.search(r"in 0\.[1-4] s$", line)


class _Cluster:
    """Workers that cannot be reached."""

    def connect(self, say: Any) -> None:
        raise JobError("no cluster there")


def test_a_finished_run_joins_no_cluster() -> None:
    """It has nothing to send; one that has more rows does."""
    write_prompts("a", "b")
    assert simulated()[0].completed == 2
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=ONE), output=Output(dir="out"))

    def again() -> Summary:
        made = execution.Execution(job, Options(simulate=True), None, cast("Team", _Cluster()))
        return asyncio.run(made.execute())

    assert again().state == "completed"
    write_prompts("a", "b", "c")
    with pytest.raises(JobError, match="no cluster there"):
        again()
