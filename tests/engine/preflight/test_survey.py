"""The survey of an input, in bounded memory."""

import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine.preflight.survey import Ids, Long, Survey
from batchrun.records import BadRow, Request

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def request(row: int, text: str = "a", label: str | None = None, model: str = LLAMA, **more: object) -> Request:
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more})
    return Request(row, model, 0, b"", body, label)


def bad(row: int, message: str, model: str = LLAMA) -> BadRow:
    return BadRow(row, model, 0, b"", None, message)


def test_a_row_counts_once_whatever_the_models_and_samples() -> None:
    """Here two models and three samples."""
    survey = Survey()
    survey.add([request(0, "a", "x", model) for model in ("m", "n") for _ in range(3)])
    survey.add([bad(1, "in.jsonl:2: is not JSON", model) for model in ("m", "n")])
    assert (survey.rows, survey.bad_rows) == (2, 1)
    assert {model: part.requests for model, part in survey.models.items()} == {"m": 3, "n": 3}
    assert survey.ids.repeated() is None
    assert len(survey.prompts) == 1


def test_broken_rows_are_grouped_by_cause() -> None:
    """Most common first, an example of each with file and line; numbers do not make two causes different."""
    survey = Survey()
    survey.add([bad(row, f"a/in.jsonl:{row}: is not JSON (column {row})") for row in range(1, 6)])
    survey.add(
        [bad(9, "t.parquet: row 9: prompt is null; must be a string"), bad(10, "t.parquet: row 10: has no prompt")]
    )
    first, *others = survey.causes()
    assert first == ("is not JSON (column …)", 5, "a/in.jsonl:1: is not JSON (column 1)")
    assert {cause.cause for cause in others} == {"prompt is null; must be a string", "has no prompt"}


def test_many_causes_do_not_fill_the_memory() -> None:
    """Beyond a number of causes, the rest are counted together."""
    survey = Survey()
    survey.add([bad(row, f"in.jsonl:{row}: {'x' * row}") for row in range(1_000)])
    assert len(survey.causes()) <= 101
    assert sum(cause.rows for cause in survey.causes()) == 1_000


@given(st.lists(st.sampled_from("abcdefg"), max_size=30))
def test_repeated_ids_are_found(labels: list[str]) -> None:
    """How many ids, on how many rows, and two rows of the id that comes first."""
    ids = Ids()
    for row, label in enumerate(labels):
        ids.add(label, row)
    twice = {label for label in labels if labels.count(label) > 1}
    found = ids.repeated()
    if not twice:
        assert found is None
        return
    assert found is not None
    assert (found.ids, found.rows) == (len(twice), sum(label in twice for label in labels))
    first, second = found.example
    assert first == min(map(labels.index, twice))
    assert labels[first] == labels[second]
    assert first < second


def test_ids_take_sixteen_bytes_each() -> None:
    """Ten million ids fit into the memory of a run."""
    tracemalloc.start()
    ids = Ids()
    for row in range(200_000):
        ids.add(f"row {row}", row)
    assert ids.repeated() is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000 * 30


def test_the_longest_prompts_are_named() -> None:
    """The longest three, by row and id."""
    survey = Survey()
    survey.add([request(row, "word " * (row * 7 % 100), f"r{row}") for row in range(100)])
    assert max(survey.longest) == Long(115, 57, "r57")
    assert {long.row for long in survey.longest} == {57, 14, 71}


def test_a_prompt_that_fits_no_window_is_counted() -> None:
    """Together with the answer that it allows."""
    survey = Survey()
    survey.add([request(0, "word " * 90_000), request(1, "word " * 120_000), request(2, "word", max_tokens=128_000)])
    assert survey.models[LLAMA].context_tokens == 128_000
    assert survey.models[LLAMA].too_long == 2


def test_samples_come_from_the_whole_input() -> None:
    """They are few, however many rows there are."""
    survey = Survey()
    survey.add([request(row, str(row)) for row in range(10_000)])
    rows = [int(orjson.loads(body)["messages"][0]["content"]) for body in survey.samples]
    assert 64 <= len(rows) <= 256
    assert max(rows) > 9_000
    assert sum(rows) / len(rows) == pytest.approx(5_000, rel=0.15)


def test_sums_are_scaled_to_the_rows_that_are_left() -> None:
    """In proportion to their number."""
    survey = Survey()
    survey.add([request(row, "a" * 40, max_tokens=5) for row in range(10)])
    survey.note_settled(LLAMA, 4)
    part = survey.models[LLAMA]
    asked = part.asked(part.requests - part.settled)
    assert (asked.requests, asked.bounded, asked.bound_tokens) == (6, 6, 30)
    assert asked.tokens == pytest.approx(0.6 * part.tokens)
