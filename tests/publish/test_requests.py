"""Requests are published as they happened, with times, and with ids that survive an edit of the input."""

import json
import os
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from harness.prompts import results, write_prompts, write_rows

from batchrun.job.sections import Input, Model
from batchrun.publish import requests as module
from batchrun.publish.record import RunRecord
from batchrun.publish.requests import Call, Requests


def calls_of(directory: Path, sample: int | None = None) -> list[Call]:
    with RunRecord(directory, sample) as record:
        return [call for batch in Requests(record).calls() for call in batch]


def ids_of(directory: Path, place: str = "here", sample: int | None = None) -> dict[tuple[int, str], str]:
    """Return the id of each row and model."""
    with RunRecord(directory, sample) as record:
        requests = Requests(record)
        calls = [call for batch in requests.calls() for call in batch]
        return {(call.outcome.row, call.outcome.model): requests.id_of(call, place) for call in calls}


def test_each_request_has_what_was_sent_and_what_came_back(made, monkeypatch) -> None:
    """Also where a batch ends between the models and samples of one row."""
    monkeypatch.setattr(module, "BATCH", 5)
    directory = made(
        write_prompts(*(f"say {number}" for number in range(7))), model=Model(names=("a", "b"), num_samples=2, seed=3)
    )
    calls = calls_of(directory)
    rows = results()
    assert [(call.outcome.row, call.outcome.model, call.outcome.sample) for call in calls] == [
        (row["row"], row["model"], row["sample"]) for row in rows
    ]
    for call, row in zip(calls, rows, strict=True):
        message = {"role": "user", "content": f"say {row['row']}"}
        assert call.sent == {"model": row["model"], "messages": [message], "seed": 3 + row["sample"]}
        assert call.reply["choices"][0]["message"]["content"] == row["response"]
        assert call.ended == row["finished_at"]
        assert call.ended - call.began == timedelta(seconds=row["latency_s"])
        assert (call.error, call.cost_usd, call.is_lost) == (None, None, False)


def test_batches_have_few_calls_when_calls_are_large(made, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BATCH_BYTES", 10_000)
    with RunRecord(made(write_prompts(*(f"say {number} " + "x" * 4000 for number in range(6))))) as record:
        assert [len(batch) for batch in Requests(record).calls()] == [3, 3, 3, 3]


def test_the_id_of_a_call_is_stable_and_unique(made) -> None:
    path = write_prompts("one", "two")
    first, again, other = made(path, "out"), made(path, "out"), made(path, "other")
    assert ids_of(first) == ids_of(again)
    everywhere = [*ids_of(first).values(), *ids_of(first, "there").values(), *ids_of(other).values()]
    assert len(set(everywhere)) == len(everywhere) == 12


def test_a_new_first_line_in_the_input_changes_no_id(made) -> None:
    before = set(ids_of(made(write_prompts("one", "two", "three"))).values())
    after = set(ids_of(made(write_prompts("new", "one", "two", "three"))).values())
    assert before < after
    assert len(after - before) == 2


def test_rows_that_share_a_request_have_different_ids_also_in_a_sample(made) -> None:
    """Copies of one answer have the same end time."""
    settings = Input(path=("in.jsonl",), dedupe=True)
    directory = made(write_prompts(*["same"] * 9, "other"), input=settings)
    ids = ids_of(directory)
    assert len(set(ids.values())) == 20
    for count in (1, 3, 6):
        assert ids_of(directory, sample=count).items() <= ids.items()


def test_a_sample_has_whole_rows_and_is_part_of_each_larger_sample(made) -> None:
    directory = made(write_prompts(*(f"say {number}" for number in range(40))))
    samples = [{call.outcome.row for call in calls_of(directory, count)} for count in (1, 7, 20, 40, 99)]
    assert [len(rows) for rows in samples] == [1, 7, 20, 40, 40]
    assert all(smaller <= larger for smaller, larger in pairwise(samples))
    assert len(calls_of(directory, 7)) == 14
    gaps = [after - before for before, after in pairwise(sorted(samples[2]))]
    assert max(gaps) <= 5, "the rows are spread evenly"


@pytest.mark.parametrize("path", ["in.jsonl", "parts/*.jsonl", "parts"])
def test_the_input_is_found_from_every_folder(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Also when another file of that name is there."""
    write_prompts("one", "two", path="in.jsonl")
    write_prompts("one", "two", path="parts/a.jsonl")
    before = calls_of(made(path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write_prompts("not", "these")
    assert calls_of(Path(os.pardir) / "out") == before
    assert all(call.sent for call in before)


def test_an_input_that_was_moved_with_the_run_is_found(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    monkeypatch.chdir(tmp_path / "old")
    made(write_prompts("one"))
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    assert [call.is_lost for call in calls_of(Path("out"))] == [False, False]


def test_without_the_input_calls_are_lost_and_the_reason_is_reported(made) -> None:
    path = write_prompts("one", "two")
    directory = made(path)
    Path(path).unlink()
    with RunRecord(directory) as record:
        requests = Requests(record)
        calls = [call for batch in requests.calls() for call in batch]
        assert [(call.sent, call.is_lost) for call in calls] == [(None, True)] * 4
        assert all(call.reply["choices"] for call in calls)
        assert requests.trouble == "in.jsonl: no such file"


def test_a_row_that_was_edited_is_not_shown_as_what_was_sent(made) -> None:
    path = write_prompts("one", "two")
    directory = made(path)
    write_prompts("one", "three")
    assert [call.is_lost for call in calls_of(directory)] == [False, False, True, True]


def test_a_failure_has_its_reason_and_the_reply_of_the_endpoint(made) -> None:
    (call, *_) = calls_of(made(write_prompts("[[simulate: 400]]")))
    assert call.error.startswith("bad_request: ")
    assert "error" in call.reply


def test_a_row_that_made_no_request_is_not_lost(made) -> None:
    calls = calls_of(made(write_rows("in.jsonl", {"prompt": "one"}, {"nothing": 1})))
    assert [(call.sent is None, call.is_lost) for call in calls] == [(False, False)] * 2 + [(True, False)] * 2


def test_images_are_named_not_shown(made) -> None:
    """The replacement does not look like a data URL, which would be shown as a broken image."""
    url = "data:image/png;base64," + "A" * 5000
    row = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}
    (call, *_) = calls_of(made(write_rows("in.jsonl", row)))
    (part,) = call.sent["messages"][0]["content"]
    assert part["image_url"]["url"] == "(image/png, 5,022 characters)"
    assert "AAA" not in json.dumps(call.sent)


def test_a_run_of_an_old_version_without_an_identity_can_be_published(made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchrun.results.identity.uuid4", lambda: type("None", (), {"hex": ""}))
    assert len(ids_of(made(write_prompts("one")))) == 2
