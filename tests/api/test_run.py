"""`run` and `arun` as programs call them: they drain when they are interrupted."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.ledger import serving

import batchrun
from batchrun.simulator import Settings

pytestmark = pytest.mark.timeout(180)


def job(base_url: str, rows: int = 60) -> batchrun.Job:
    Path("rows.jsonl").write_text("".join(f'{{"prompt": "number {number}"}}\n' for number in range(rows)))
    return batchrun.Job(
        input=batchrun.Input(path="rows.jsonl"),
        model=batchrun.Model(name="m"),
        endpoint=batchrun.Endpoint(base_url=base_url),
        limits=batchrun.Limits(max_concurrency=4),
        output=batchrun.Output(dir="runs/a"),
    )


def interrupt_when(*conditions: Callable[[], bool]) -> threading.Thread:
    """Send this process SIGINT each time when the next condition is true."""

    def interrupt() -> None:
        for condition in conditions:
            while not condition():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # two signals at once would be one

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


@pytest.mark.usefixtures("base_url")
def test_an_interrupt_drains_and_the_same_call_resumes() -> None:
    """Also with the same options. Python's own handler is back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    with serving(Settings(latency_s=0.2, models=("m",))) as (url, ledger):
        thread = interrupt_when(lambda: ledger.answered >= 20)
        options = batchrun.Options(agree=True)
        with pytest.raises(KeyboardInterrupt, match=r"rows are left; interrupted.* batchrun\.open_run\('runs/a'\)"):
            batchrun.run(job(url), options)
        thread.join()
        assert signal.getsignal(signal.SIGINT) is before
        settled = len(batchrun.open_run("runs/a"))
        assert 20 <= settled == ledger.answered < 60
        assert batchrun.run(job(url), options).completed == 60
        assert ledger.answered == 60


@pytest.mark.usefixtures("base_url")
def test_a_second_interrupt_stops_at_once() -> None:
    """The answers would take minutes."""
    with serving(Settings(latency_s=300.0, models=("m",))) as (url, ledger):
        thread = interrupt_when(lambda: ledger.in_flight > 0, lambda: True)
        with pytest.raises(batchrun.Interrupted, match="runs/a: stopped at once; make the same call again to resume"):
            batchrun.run(job(url))
        thread.join()


def test_it_runs_inside_of_an_event_loop_too(base_url: str) -> None:
    """As in a cell of a notebook; in a coroutine, `arun` does not block the others."""

    async def main() -> list[int]:
        blocked = batchrun.run(job(base_url)).completed
        return [blocked, (await batchrun.arun(job(base_url))).completed]

    assert asyncio.run(main()) == [60, 60]


@pytest.mark.usefixtures("base_url")
def test_cancelling_a_task_does_not_drain() -> None:
    """A program that sets a time limit is not kept waiting."""

    async def main(url: str) -> None:
        await asyncio.wait_for(batchrun.arun(job(url)), 1.0)

    with serving(Settings(latency_s=300.0, models=("m",))) as (url, _), pytest.raises(TimeoutError):
        asyncio.run(main(url))


def test_messages_are_in_pythons_words(base_url: str) -> None:
    """Those of errors, and the summary's."""
    edited = job(base_url)
    batchrun.run(edited)
    Path("rows.jsonl").write_text("".join(f'{{"prompt": "letter {number}"}}\n' for number in range(60)))
    with pytest.raises(batchrun.BatchrunError, match="pass agree=True to buy") as caught:
        batchrun.run(edited)
    assert "--yes" not in str(caught.value)


@pytest.mark.slow
def test_an_error_ends_a_program_with_a_short_traceback(tmp_path: Path) -> None:
    """Without the frames of the event loop, and without a chain."""
    code = "import batchrun; batchrun.answer('nowhere.csv', model='m', out='runs/a', base_url='http://127.0.0.1:9/v1')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    lines = done.stderr.strip().splitlines()
    assert lines[-1] == "batchrun.errors.InputError: nowhere.csv: no such file"
    assert "direct cause" not in done.stderr
    assert "uvloop" not in done.stderr
