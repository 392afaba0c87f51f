"""A run as records that other systems can store, with a fingerprint that identifies them."""

import json
from pathlib import Path

from harness.prompts import write_rows

from batchrun.job.prompt import PromptTemplates
from batchrun.publish.record import RunRecord

QUESTION = PromptTemplates(user="{{ question }}")


def test_a_sample_of_all_rows_has_the_fingerprint_of_the_whole(made) -> None:
    """Otherwise the same rows would be published twice: as the whole and as a sample."""
    directory = made(write_rows("in.jsonl", {"question": "one"}, {"question": "two"}), prompt=QUESTION)
    fingerprints = []
    for sample in (None, 9, 2, 1):
        with RunRecord(directory, sample) as record:
            fingerprints.append(record.fingerprint())
    assert [each == fingerprints[0] for each in fingerprints] == [True, True, True, False]


def test_rows_are_json_and_other_results_have_another_fingerprint(made) -> None:
    path = write_rows("in.jsonl", {"question": "one", "note": None}, {"question": "two", "note": 2**70})
    template = QUESTION
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
