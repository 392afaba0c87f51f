"""A run that starts over says what is kept, and what no longer counts."""

from pathlib import Path
from typing import Any

import pytest

from batchrun.checkpoint.store import Store
from batchrun.engine.restart import restart
from batchrun.job.sections import Input, Job, Limits, Model, Output, Price
from batchrun.records import Usage

KEPT = "note: the run starts over; its old checkpoint is kept as before-restart.checkpoint.sqlite"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(**limits: Any) -> Job:
    return Job(
        input=Input(path=("in.jsonl",)),
        model=Model(names=("m",)),
        limits=Limits(**limits),
        output=Output(dir="out"),
        prices={"m": Price(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)},
    )


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, ""),
        ({"max_cost_usd": 5.0}, ", and what that has used (3.0000 USD) does not count for the cap"),
        ({"max_tokens_total": 5}, ", and what that has used (3,000,000 tokens) does not count for the cap"),
    ],
)
def test_what_the_old_run_has_used_is_named_under_a_cap(limits: dict[str, Any], words: str) -> None:
    """Otherwise nobody would see that the cap begins again from zero."""
    Path("out").mkdir()
    with Store(Path("out")) as store:
        store.model_id("m")
        store.paid("m", Usage(1_000_000, 2_000_000, 3_000_000))
    restarted = restart(job(**limits))
    assert restarted is not None
    assert restarted.note == KEPT + words
    restarted.put_back()
    assert Path("out/checkpoint.sqlite").exists()
    assert not list(Path("out").glob("before-restart*"))


def test_a_damaged_run_can_start_over() -> None:
    """What it has used is not known."""
    Path("out").mkdir()
    Path("out/checkpoint.sqlite").write_bytes(b"garbage" * 1_000)
    restarted = restart(job(max_cost_usd=5.0))
    assert restarted is not None
    assert restarted.note == KEPT


def test_without_an_old_run_there_is_nothing_to_say() -> None:
    """A first run may be started with the flag."""
    assert restart(job(max_cost_usd=5.0)) is None
