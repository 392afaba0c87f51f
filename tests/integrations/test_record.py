"""A run is shown as it was: what was sent, what came back, when, and in samples that are always the same."""

import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from harness.prompts import results, write_prompts, write_rows

from batchrun.integrations import record as module
from batchrun.integrations.record import Call, RunRecord
from batchrun.job import Model, PromptTemplates

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def calls_of(directory: Path, sample: int | None = None) -> list[Call]:
    with RunRecord(directory, sample) as record:
        return [call for batch in record.calls() for call in batch]


def test_each_request_is_shown_with_what_was_sent_and_what_came_back(made, monkeypatch) -> None:
    """Also where batches end in the midst of a row's models and samples."""
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
        assert (call.error, call.cost_usd) == (None, None)


def test_a_call_has_the_same_id_each_time_and_no_other_has_it(made) -> None:
    path = write_prompts("one", "two")
    first, again, other = made(path, "out"), made(path, "out"), made(path, "other")

    def ids(directory: Path, place: str) -> list[str]:
        with RunRecord(directory) as record:
            return [record.call_id(call.outcome, place) for batch in record.calls() for call in batch]

    assert ids(first, "here") == ids(again, "here")
    everywhere = ids(first, "here") + ids(first, "there") + ids(other, "here")
    assert len(set(everywhere)) == len(everywhere) == 12


def test_a_sample_has_that_many_rows_with_all_their_answers_and_is_part_of_each_larger_one(made) -> None:
    directory = made(write_prompts(*(f"say {number}" for number in range(40))))
    samples = [{call.outcome.row for call in calls_of(directory, count)} for count in (1, 7, 20, 40, 99)]
    assert [len(rows) for rows in samples] == [1, 7, 20, 40, 40]
    assert all(smaller <= larger for smaller, larger in pairwise(samples))
    assert len(calls_of(directory, 7)) == 14
    gaps = [after - before for before, after in pairwise(sorted(samples[2]))]
    assert max(gaps) <= 5, "it lies evenly"


def test_where_the_input_is_gone_the_rest_is_shown_and_that_is_said(made) -> None:
    path = write_prompts("one", "two")
    directory = made(path)
    Path(path).unlink()
    with RunRecord(directory) as record:
        calls = [call for batch in record.calls() for call in batch]
        assert [call.sent for call in calls] == [None] * 4
        assert all(call.reply["choices"] for call in calls)
        assert "without what was sent" in record.notices[0]


def test_a_row_that_is_another_now_is_not_shown_as_what_was_sent(made) -> None:
    path = write_prompts("one", "two")
    directory = made(path)
    write_prompts("one", "three")
    assert [call.sent is None for call in calls_of(directory)] == [False, False, True, True]


def test_a_failure_says_why_and_what_the_endpoint_said(made) -> None:
    (call, *_) = calls_of(made(write_prompts("[[simulate: 400]]")))
    assert call.error.startswith("bad_request: ")
    assert "error" in call.reply


def test_images_are_named_not_shown(made) -> None:
    url = "data:image/png;base64," + "A" * 5000
    row = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}
    (call, *_) = calls_of(made(write_rows("in.jsonl", row)))
    assert len(json.dumps(call.sent)) < 400
    assert "of 5,022 characters" in json.dumps(call.sent)


def test_rows_are_json_and_the_fingerprint_tells_results_apart(made) -> None:
    path = write_rows("in.jsonl", {"question": "one", "note": None}, {"question": "two", "note": 2**70})
    template = PromptTemplates(user="{{ question }}")
    directory = made(path, prompt=template)
    with RunRecord(directory) as record:
        rows = list(record.rows(most=10))
        assert [row["question"] for row in rows] == ["one", "one", "two", "two"]
        assert json.loads(json.dumps(rows)) == rows
        assert record.input_columns() == ["row", "custom_id", "question", "note"]
        assert record.answer_columns()[:4] == ["row", "custom_id", "model", "sample"]
        before = record.fingerprint()
    made(path, prompt=template)
    with RunRecord(directory) as record:
        assert record.fingerprint() == before
    write_rows(path, {"question": "one"}, {"question": "three"})
    made(path, "elsewhere", prompt=template)
    with RunRecord(Path("elsewhere")) as record:
        assert record.fingerprint() != before


def test_a_run_before_runs_had_an_identity_is_shown_too(made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchrun.resume.uuid4", lambda: type("None", (), {"hex": ""}))
    assert len(calls_of(made(write_prompts("one")))) == 2
