"""Prompts whose answers differ."""

from typing import Any

import pyarrow as pa
import pytest

from batchrun.report.compare import compare, difference

TYPED = {"label": pa.dictionary(pa.int32(), pa.string()), "stars": pa.int64()}


def answers(text: str) -> tuple[tuple[str, str], ...]:
    """Return answers of models: `m:aab n:b`."""
    return tuple((part.partition(":")[0], content) for part in text.split() for content in part.partition(":")[2])


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("m:aa n:aa", 0),
        ("m:aab n:aaa", 1 / 6),
        ("m:aa n:bb", 1.5),
        ("m:aab n:bbb", 1 + 2 / 6),
        ("m:abc", 2 / 3),
    ],
)
def test_models_differ_if_most_of_their_answers_do(text: str, size: float) -> None:
    """The rest is the share of the answers that are not the most frequent one."""
    assert difference(answers(text)) == pytest.approx(size)


def rows_of(*prompts: str) -> list[dict[str, Any]]:
    """Return rows of the results: one prompt per text as in `answers`; `-` is a failed answer, `0` is null."""
    return [
        {
            "row": 10 + row,
            "model": model,
            "status": "failed" if label == "-" else "completed",
            "label": None if label in "-0" else label,
            "stars": 3,
        }
        for row, text in enumerate(prompts)
        for model, label in answers(text)
    ]


def test_prompts_are_counted_and_those_with_the_largest_differences_come_first(write_results: Any) -> None:
    """Failed answers do not count; an answer without a label differs from one with a label."""
    prompts = ["m:aa n:aa", "m:aa n:ab", "m:aa n:bb", "m:a- n:--", "m:a- n:b-", "m:a n:0", "m:ab n:bb"]
    found = compare(write_results(*rows_of(*prompts), typed=TYPED), ["label", "stars"], most=3)
    assert (found.prompts, found.between, found.within) == (6, 4, 1)
    assert found.first == [12, 14, 15]


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 5, 100])
def test_a_prompt_is_compared_whole_wherever_batches_end(
    write_results: Any, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    """Also one with more answers than a batch has rows."""
    monkeypatch.setattr("batchrun.report.compare._BATCH_ROWS", batch_rows)
    found = compare(write_results(*rows_of("m:aaaaaab", "m:aa", "m:ab", "m:a"), typed=TYPED), ["label"], most=9)
    assert (found.prompts, found.within, found.first) == (3, 2, [12, 10])
