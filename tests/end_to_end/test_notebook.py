"""A notebook in a real kernel: cells are interrupted and run again, show a bar, a table, and errors in one line."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from harness.ledger import serving
from harness.notebooks import interrupted, outputs

import batchrun
from batchrun.simulator import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # a kernel starts slowly on a busy machine

ROWS = 60
THIRD = ROWS // 3

WIDGETS = "application/vnd.jupyter.widget"

SETUP = """import batchrun, pandas as pd
frame = pd.DataFrame({"text": [f"review {n}" for n in range(60)]}, index=range(100, 160))
settings = dict(prompt="Label this: {{ text }}", model="m", max_concurrency=4)"""

CALL = 'answers = batchrun.answer(frame, out="runs/labels", base_url=%r, **settings)'
AWAITED = 'answers = await batchrun.aanswer(frame, out="runs/awaited", base_url=%r, **settings)'
SLOW = 'batchrun.answer(frame, out="runs/slow", base_url=%r, **settings)'
WRONG = 'batchrun.answer(frame, "Label this: {{ texd }}", model="m", out="runs/wrong")'


class Done(NamedTuple):
    """The notebook after its execution."""

    folder: Path
    cells: dict[str, Any]
    url: str
    bought: dict[str, int]
    """Answers that were bought until the end of a cell."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """One kernel for all tests: it takes seconds to start."""
    folder = tmp_path_factory.mktemp("notebook")
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(Settings(latency_s=0.2, models=("m",))) as (url, ledger),
        serving(Settings(latency_s=300.0, models=("m",))) as (slow_url, waiting),
    ):
        patch.setenv("OPENAI_API_KEY", "sk-test")
        patch.delenv("OPENAI_BASE_URL", raising=False)
        cells = {
            "setup": SETUP,
            "interrupted": CALL % url,
            "settled": 'settled = len(batchrun.open_run("runs/labels")); print(settled)',
            "again": CALL % url,
            "shown": "answers",
            "kept": 'answers.to_pandas().to_pickle("frame.pkl")',
            "awaited": AWAITED % url,
            "awaited settled": 'print(len(batchrun.open_run("runs/awaited")))',
            "awaited again": AWAITED % url,
            "awaited shown": "answers",
            "slow": SLOW % slow_url,
            "wrong": WRONG,
        }
        is_sent = [lambda: waiting.in_flight > 0, lambda: True]
        when = [lambda: ledger.answered >= THIRD, lambda: ledger.answered >= ROWS + THIRD, *is_sent]
        executed = interrupted(list(cells.values()), folder, when)
        yield Done(folder, dict(zip(cells, executed, strict=True)), url, {"all": ledger.answered})


@pytest.mark.parametrize("name", ["interrupted", "awaited"])
def test_a_cell_that_is_interrupted_drains(name: str, done: Done) -> None:
    """What was in flight arrives, and the results are written. The message is one line that says how to resume."""
    shown = outputs(done.cells[name])
    assert "interrupted: stopping: waiting for" in shown
    message = r"rows are left; interrupted.*; run the same call again to resume; what is settled: batchrun.open_run"
    assert re.search(f"Interrupted: .*{message}", shown)
    assert "Traceback" not in shown
    settled = int(outputs(done.cells["settled" if name == "interrupted" else "awaited settled"]))
    assert THIRD <= settled < ROWS


def test_the_same_cell_resumes_and_buys_only_the_rest(done: Done) -> None:
    """Both runs together have bought each row once."""
    assert "60 of 60 rows completed" in outputs(done.cells["shown"])
    assert "60 of 60 rows completed" in outputs(done.cells["awaited shown"])
    assert done.bought["all"] == 2 * ROWS


def test_the_frame_is_that_of_a_run_without_interrupts(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row by row, under its own index."""
    found = pd.read_pickle(done.folder / "frame.pkl")
    assert list(found.index) == list(range(100, 160))
    for number, row in enumerate(found.itertuples()):
        assert (row.row, row.text, row.status) == (number, f"review {number}", "completed")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    whole = batchrun.answer(
        found[["text"]], "Label this: {{ text }}", model="m", out=done.folder / "whole", base_url=done.url
    ).to_pandas()
    pd.testing.assert_frame_equal(whole[["row", "text", "response"]], found[["row", "text", "response"]])


def test_a_second_interrupt_stops_at_once(done: Done) -> None:
    """The answers would take minutes."""
    assert "Interrupted: runs/slow: stopped at once; make the same call again to resume" in outputs(done.cells["slow"])


def test_progress_is_a_widget_that_ends_full(done: Done) -> None:
    """One for each cell that sends; that of the cell that was interrupted is marked."""
    for name in ("interrupted", "again", "awaited", "awaited again"):
        assert sum(f"{WIDGETS}-view+json" in each.get("data", {}) for each in done.cells[name].outputs) == 1
    states = done.cells["setup"].metadata["widgets"][f"{WIDGETS}-state+json"]["state"].values()
    bars = [each["state"] for each in states if each["model_name"] == "FloatProgressModel"]
    first, second = bars[:2]
    assert (first["bar_style"], first["max"]) == ("danger", 60)
    assert (second["value"], second["max"], second["bar_style"]) == (60, 60, "success")


def test_answers_are_a_table_and_errors_one_line(done: Done) -> None:
    assert "<table>" in done.cells["shown"].outputs[0]["data"]["text/html"]
    error = done.cells["wrong"].outputs[-1]
    assert error.traceback == [f"InputError: {error.evalue}"]
    assert "did you mean text?" in error.evalue
