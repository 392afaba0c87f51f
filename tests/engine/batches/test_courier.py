"""Bringing a batch to the provider: each step is on the disk before the next one, and none is done twice."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batchrun.checkpoint.batch_tables import CREATED, CREATING, FAILED, GONE, UPLOADED, WRITTEN, BatchRow
from batchrun.endpoint.batches.state import BatchState, read_state
from batchrun.engine.batches import courier as module
from batchrun.engine.batches.courier import Courier
from batchrun.engine.batches.files import FOLDER
from batchrun.engine.batches.provider import Gone
from batchrun.engine.batches.shipment import Shipment

ROW = BatchRow(3, "m", "chat", WRITTEN, 2, 0.0, 0.0, 0)


def batch(name: str, **more: Any) -> BatchState:
    state = read_state({"id": name, "status": "in_progress", "created_at": 5, **more})
    assert state is not None
    return state


class There:
    """A provider, the notes of the run, and the order of what was done with both."""

    def __init__(self, listed: list[BatchState] | None = None, *, is_heard: bool = True, is_whole: bool = True) -> None:
        self.done: list[str] = []
        self.listed, self.is_heard, self.whole = listed or [], is_heard, is_whole
        self.released: list[BatchRow] = []

    # The provider.

    async def upload(self, path: Path, name: str) -> str:
        self.done.append("uploaded")
        return "file_1"

    async def create(self, file: str, endpoint: str, metadata: Mapping[str, str]) -> BatchState | None:
        self.done.append("created")
        state = batch("batch_1", metadata=dict(metadata), input_file_id=file)
        self.listed.append(state)
        return state if self.is_heard else None

    async def batches(self, since_s: float) -> list[BatchState]:
        return self.listed

    async def cancel(self, name: str) -> None:
        self.done.append(f"cancelled {name}")

    async def retrieve(self, name: str) -> BatchState:
        for each in self.listed:
            if each.id == name:
                return each
        raise Gone("no such batch")

    # The notes.

    def note(self, row: BatchRow) -> None:
        self.done.append(f"noted {row.step}")

    async def committed(self) -> None:
        self.done.append("committed")

    async def wanted(self, row: BatchRow) -> int:
        return row.requests if self.whole else row.requests - 1

    async def release(self, row: BatchRow) -> None:
        self.released.append(row)


def courier(there: Any, folder: Path) -> Courier:
    return Courier(
        log=there,
        provider=there,
        collector=there,
        directory=folder,
        identity=lambda: "run_1",
        say=lambda text: None,
    )


def brought(there: There, folder: Path, row: BatchRow, **more: Any) -> Shipment:
    shipment = Shipment(row, **more)
    asyncio.run(courier(there, folder).bring(shipment))
    return shipment


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Look once at the list, in a run directory with the folder of a batch that is written."""
    monkeypatch.setattr(module, "LISTED_AFTER_S", 0.0)
    (tmp_path / FOLDER).mkdir()


def test_each_step_is_on_the_disk_before_the_next_one(tmp_path: Path) -> None:
    there = There()
    shipment = brought(there, tmp_path, ROW)
    assert there.done == [
        *("uploaded", f"noted {UPLOADED}", "committed"),
        *(f"noted {CREATING}", "committed", "created", f"noted {CREATED}", "committed"),
    ]
    assert (shipment.row.step, shipment.row.name, shipment.row.file) == (CREATED, "batch_1", "file_1")


def test_a_creation_without_a_reply_is_looked_up_and_not_repeated(tmp_path: Path) -> None:
    there = There(is_heard=False)
    assert brought(there, tmp_path, ROW).row.name == "batch_1"
    assert there.done.count("created") == 1


@pytest.mark.parametrize("found_by", ["metadata", "file"])
def test_what_an_earlier_execution_has_perhaps_created_is_found(tmp_path: Path, found_by: str) -> None:
    """By the run and its number, or by the file, where a provider keeps no metadata. Of two, one is cancelled."""
    metadata = {"batchrun_run": "run_1", "batchrun_batch": "3"} if found_by == "metadata" else {}
    own = [batch(name, metadata=metadata, input_file_id="file_1") for name in ("later", "first")]
    others = [
        batch("of_another_run", metadata={"batchrun_run": "run_2", "batchrun_batch": "3"}),
        batch("of_another_number", metadata={"batchrun_run": "run_1", "batchrun_batch": "4"}),
    ]
    there = There([*others, *own])
    shipment = brought(there, tmp_path, ROW._replace(step=CREATING, file="file_1", created_at_ms=0))
    assert shipment.row.name == "first"
    assert "created" not in there.done
    assert [each for each in there.done if each.startswith("cancelled")] == ["cancelled later"]


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("file", ["file_1", None], ids=["uploaded", "salvaged"])
def test_one_that_was_never_created_is_created_while_all_its_requests_are_open(
    tmp_path: Path, file: str | None, is_whole: bool
) -> None:
    """Else those that left the job would be paid and not used: the others wait for a new one, which does not wait."""
    there = There(is_whole=is_whole)
    shipment = brought(there, tmp_path, ROW._replace(step=CREATING, file=file, created_at_ms=0))
    assert there.done.count("created") == is_whole
    if not is_whole:
        delivered = asyncio.run(courier(there, tmp_path).fetch(shipment))
        assert delivered.is_withdrawn
        assert [(each.id, each.status) for each in there.released] == [(3, None)]


def test_what_was_created_is_kept_whatever_became_of_its_requests(tmp_path: Path) -> None:
    there = There([batch("batch_1", metadata={"batchrun_run": "run_1", "batchrun_batch": "3"})], is_whole=False)
    assert brought(there, tmp_path, ROW._replace(step=CREATING, created_at_ms=0)).row.name == "batch_1"
    assert there.done.count("created") == 0


def test_nothing_is_sent_of_a_batch_that_is_cancelled_before(tmp_path: Path) -> None:
    for row in (ROW, ROW._replace(step=UPLOADED, file="file_1")):
        there = There()
        shipment = brought(there, tmp_path, row, is_cancelled=True)
        delivered = asyncio.run(courier(there, tmp_path).fetch(shipment))
        assert there.done == []
        assert [each.id for each in there.released] == [3]
        assert not delivered.is_lost


FULL = {"errors": {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached for m"}]}}


def test_what_a_full_queue_has_not_taken_keeps_its_file_and_only_its_creation_is_tried_again(tmp_path: Path) -> None:
    """Also where the reply to that gets lost: the batch that was not taken is not taken for the new one."""
    there = There([batch("batch_0", status="failed", input_file_id="file_1", **FULL)])
    shipment = Shipment(ROW._replace(step=CREATED, file="file_1", name="batch_0", created_at_ms=1))
    delivered = asyncio.run(courier(there, tmp_path).fetch(shipment))
    assert (delivered.is_queue_full, delivered.is_queue_of_model) == (True, True)
    assert (there.done, there.released) == ([f"noted {CREATED}", f"noted {UPLOADED}", "committed"], [])
    assert (shipment.row.file, shipment.row.name, shipment.row.created_at_ms) == ("file_1", None, None)
    there.is_heard = False
    asyncio.run(courier(there, tmp_path).bring(shipment))
    assert (shipment.row.step, shipment.row.name) == (CREATED, "batch_1")
    assert "uploaded" not in there.done
    assert asyncio.run(courier(there, tmp_path).is_seen(ROW._replace(step=CREATING, file="file_1")))


@pytest.mark.parametrize("was_refused", [True, False])
def test_a_batch_that_is_withdrawn_is_not_created_and_its_lines_wait(tmp_path: Path, was_refused: bool) -> None:
    there = There()
    row = ROW._replace(step=UPLOADED, file="file_1", message="the queue is full" if was_refused else None)
    shipment = brought(there, tmp_path, row, is_withdrawn=True)
    delivered = asyncio.run(courier(there, tmp_path).fetch(shipment))
    assert (there.done, delivered.is_withdrawn) == ([], True)
    assert [each.status for each in there.released] == [FAILED if was_refused else None]


def test_the_lines_of_a_batch_that_is_gone_are_open_and_may_be_paid(tmp_path: Path) -> None:
    there = There()
    shipment = Shipment(ROW._replace(step=CREATED, name="batch_1"))
    delivered = asyncio.run(courier(there, tmp_path).fetch(shipment))
    assert (delivered.is_lost, delivered.result.lost) == (True, 2)
    assert [each.status for each in there.released] == [GONE]
