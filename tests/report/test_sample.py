"""The prompts in the table of the report, and how much of each is shown."""

import datetime
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job
from batchrun.report.sample import Sample, chosen_rows, read_sample
from batchrun.report.table import layout_of
from batchrun.report.tally import Tally, tally


def sample_of(
    path: Path, chosen: set[int] | None = None, most_bytes: int = 10_000_000, compared: tuple[str, ...] = ()
) -> Sample:
    """Return the sample of some results."""
    return read_sample(path, layout_of(pq.read_schema(path).names, Job(input=Input())), chosen, most_bytes, compared)


def values(sample: Sample, name: str) -> list[Any]:
    """Return a column of all answers."""
    if name in sample.prompt_columns:
        return [prompt.cells[sample.prompt_columns.index(name)] for prompt in sample.prompts]
    return [answer[sample.answer_columns.index(name)] for prompt in sample.prompts for answer in prompt.answers]


def found_in(rows: int, prompts: int, failed: Iterable[int] = ()) -> Tally:
    """Return counts over results."""
    found = Tally()
    found.rows, found.prompts, found.failed_rows = rows, prompts, list(failed)
    found.sampled.add(pa.array(range(prompts)))
    return found


def test_few_rows_are_all_shown() -> None:
    """Of many, as many prompts as there is room for."""
    assert chosen_rows(found_in(3, 3, [1]), [], most=5) is None
    assert len(chosen_rows(found_in(1_000, 1_000), [], most=50) or ()) == 50
    assert len(chosen_rows(found_in(8_000, 1_000), [], most=80) or ()) == 10


def test_failed_prompts_and_those_that_differ_most_are_shown_in_any_case() -> None:
    """Some room is left for others."""
    differing = chosen_rows(found_in(8_000, 1_000), list(range(100)), most=80) or set()
    assert {0, 1, 2, 3, 4} <= differing
    assert len(differing) == 10
    both = chosen_rows(found_in(8_000, 1_000, range(500, 600)), [7], most=80) or set()
    assert {500, 501, 7} <= both
    assert len(both & set(range(500, 600))) < 6


def test_prompts_picked_at_random_are_from_the_whole_input() -> None:
    """Also where all of them were kept, and only some have room."""
    chosen = chosen_rows(found_in(2_400, 600), [], most=1_000) or set()
    assert len(chosen) == 250
    assert 70 < len(chosen & set(range(300))) < 180


def test_a_sample_of_rows_is_exact_and_reproducible(write_results: Any) -> None:
    """A second report shows the same rows."""
    path = write_results(*({"response": f"answer {number}"} for number in range(9_000)))
    chosen = chosen_rows(tally(path, failed_rows=9), [])
    sample = sample_of(path, chosen)
    rows = values(sample, "row")
    assert not sample.is_all
    assert len(set(rows)) == len(rows) == 2_000
    assert rows == sorted(rows)
    assert max(rows) > 8_900
    assert values(sample, "response") == [f"answer {row}" for row in rows]
    assert chosen_rows(tally(path, failed_rows=9), []) == chosen


def test_all_answers_to_a_prompt_are_shown_together(write_results: Any) -> None:
    """Wherever batches end, also of an unfinished run."""
    asked = [(model, number) for model in "ab" for number in range(4)]
    rows = [{"row": 3 * row, "model": model, "sample": number} for row in range(2_000) for model, number in asked]
    path = write_results(*rows)
    sample = sample_of(path, chosen_rows(tally(path, failed_rows=9), [3 * 1_234]))
    assert [len(prompt.answers) for prompt in sample.prompts] == [8] * 250
    assert 3 * 1_234 in values(sample, "row")
    assert sample.are_whole


def test_of_very_many_answers_to_a_prompt_the_first_of_each_model_are_shown(write_results: Any) -> None:
    """The page and the memory have a limit."""
    rows = [{"row": 0, "model": model, "sample": number} for model in "ab" for number in range(1_500)]
    sample = sample_of(write_results(*rows), {0})
    assert (len(sample.prompts), sample.answers, sample.are_whole, sample.is_all) == (1, 200, False, False)
    assert set(values(sample, "model")) == {"a", "b"}


def test_prompts_have_the_size_of_their_differences(write_results: Any) -> None:
    """Failed answers do not count."""
    answers = [("yes", "completed"), ("no", "completed"), ("yes", "completed"), ("maybe", "failed")]
    rows = [
        {"row": row, "sample": number, "response": text if row else "yes", "status": status}
        for row in range(2)
        for number, (text, status) in enumerate(answers)
    ]
    sample = sample_of(write_results(*rows), compared=("response",))
    assert [prompt.difference for prompt in sample.prompts] == [0, 0.333]


def test_long_texts_are_cut_until_the_rows_fit_and_state_their_length(write_results: Any) -> None:
    """The length is that of the whole text, even if it is cut twice."""
    sample = sample_of(write_results(*({"response": "é" * 5_000} for _ in range(100))), most_bytes=100_000)
    assert len(orjson.dumps([prompt.data for prompt in sample.prompts])) <= 101_000
    assert sample.answers == 100
    response = values(sample, "response")[0]
    assert response.startswith("éé")
    assert response.endswith("… (of 5,000 characters)")


def test_if_cut_texts_are_still_too_large_fewer_rows_are_shown(write_results: Any) -> None:
    """The table is then labelled as a sample."""
    sample = sample_of(write_results(*({} for _ in range(200))), most_bytes=8_000)
    assert 0 < len(sample.prompts) < 200
    assert not sample.is_all
    assert sample_of(write_results({}), most_bytes=10).prompts == []


def test_with_too_many_columns_only_columns_of_the_input_are_left_out(write_results: Any) -> None:
    """The columns of the answers and those that the prompt is made of are always shown."""
    path = write_results({}, extra={f"c{number}": pa.string() for number in range(500)})
    layout = layout_of(pq.read_schema(path).names, Job(input=Input(), prompt=PromptTemplates(user="{{ c499 }}")))
    sample = read_sample(path, layout, None, 10_000)
    assert sample.prompt_columns[:3] == ["row", "custom_id", "c0"]
    assert sample.prompt_columns[-1] == "c499"
    assert len(sample.prompt_columns) + len(sample.answer_columns) == 60
    assert "response_id" in sample.answer_columns


def test_values_of_every_type_except_bytes_are_shown(write_results: Any) -> None:
    """Columns of the input can have any type."""
    extra = {
        "when": pa.timestamp("ns"),
        "price": pa.decimal128(6, 2),
        "tags": pa.list_(pa.string()),
        "nested": pa.struct([("at", pa.timestamp("ns"))]),
        "big": pa.int64(),
        "photo": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    }
    row = {
        "when": datetime.datetime(2026, 1, 2),
        "price": Decimal("1.50"),
        "tags": ["a", "<b>"],
        "nested": {"at": datetime.datetime(2026, 1, 2)},
        "big": 2**60,
        "photo": {"bytes": b"\xff", "path": "a.png"},
    }
    sample = sample_of(write_results(row, extra=extra))
    shown = dict(zip(sample.prompt_columns, sample.prompts[0].cells, strict=True))
    assert "photo" not in shown
    assert (shown["price"], shown["tags"], shown["big"]) == ("1.50", '["a","<b>"]', str(2**60))
    assert shown["when"].startswith("2026-01-02")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("messages", '[{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}]'),
        ("messages", '[{"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "image_url"}]}]'),
        ("body", '{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'),
    ],
)
def test_a_conversation_is_shown_by_its_last_message(write_results: Any, name: str, value: str) -> None:
    """The whole is shown in an opened row."""
    sample = sample_of(write_results({name: value}, extra={name: pa.string()}))
    assert sample.prompt_columns[-2:] == [name, "last message"]
    assert sample.prompts[0].cells[-2:] == [value, "hello"]
