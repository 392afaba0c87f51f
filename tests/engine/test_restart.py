"""A run that starts over says what is kept, and what no longer counts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchrun.checkpoint.store import Store
from batchrun.engine.options import Agree
from batchrun.engine.restart import refuse_lost, restart
from batchrun.errors import JobError
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


def no(question: str) -> bool:
    return False


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
    restarted = restart(job(**limits), no)
    assert restarted is not None
    assert restarted.note == KEPT + words
    restarted.put_back()
    assert Path("out/checkpoint.sqlite").exists()
    assert not list(Path("out").glob("before-restart*"))


def test_a_damaged_run_can_start_over() -> None:
    """What it has used is not known."""
    Path("out").mkdir()
    Path("out/checkpoint.sqlite").write_bytes(b"garbage" * 1_000)
    restarted = restart(job(max_cost_usd=5.0), no)
    assert restarted is not None
    assert restarted.note == KEPT


def test_without_an_old_run_there_is_nothing_to_say() -> None:
    """A first run may be started with the flag."""
    assert restart(job(max_cost_usd=5.0), no) is None


def with_open_batches(*batches: dict[str, Any]) -> None:
    Path("out").mkdir()
    Path("out/run.json").write_text(json.dumps({"completed": 0, "failed": 0, "batches": {"open": batches}}))


BATCH = {"number": 1, "id": "batch_a", "status": "in_progress", "requests": 40}


@pytest.mark.parametrize(
    ("begins", "is_damaged"),
    [
        (lambda agree: refuse_lost(Path("out"), agree), False),
        (lambda agree: restart(job(), agree), False),
        (lambda agree: restart(job(), agree), True),
    ],
    ids=["again", "restart", "restart of a damaged run"],
)
def test_what_lost_batches_answer_is_bought_again_only_if_the_user_agrees(
    begins: Callable[[Agree], object], is_damaged: bool
) -> None:
    with_open_batches(BATCH, BATCH | {"number": 2, "id": "", "status": "not_known"})
    if is_damaged:
        Path("out/checkpoint.sqlite").write_bytes(b"garbage" * 1_000)
    asked: list[str] = []
    with pytest.raises(JobError) as refused:
        begins(lambda question: bool(asked.append(question)))
    text = "out: run.json lists 2 batches with 80 requests at the provider (batch_a, 1 more), and neither batches/ nor "
    text += "a sound checkpoint.sqlite is left: the answers are billed, cannot be collected, and would be bought again"
    assert asked == [text]
    cure = (
        "put checkpoint.sqlite or batches/ back from a copy, or cancel what is under way at the provider, and add --yes"
    )
    assert str(refused.value) == f"{text}; {cure} to send the rows again"
    begins(lambda question: True)


def test_batches_that_have_files_or_were_never_created_are_not_lost() -> None:
    with_open_batches(BATCH, {"number": 2, "id": "", "status": "not_sent", "requests": 40})
    Path("out/batches").mkdir()
    Path("out/batches/0001.jsonl").touch()
    refuse_lost(Path("out"), no)
