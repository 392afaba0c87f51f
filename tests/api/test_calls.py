"""From data to answers in one call."""

import asyncio
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from harness.ledger import Ledger
from pydantic import BaseModel

import batchrun

TEXTS = [f"review number {number}" for number in range(30)]


class Label(BaseModel):
    label: Literal["positive", "negative"]
    reason: str


def label(data: Any, base_url: str, **settings: Any) -> batchrun.Answers:
    settings = {"prompt": "Label this: {{ text }}", "model": "m", "out": "runs/labels", "progress": False} | settings
    return batchrun.answer(data, base_url=base_url, **settings)


def test_a_frame_comes_back_with_answers(base_url: str) -> None:
    """The schema of a pydantic model becomes typed columns, next to those of the frame, under its own index."""
    frame = pd.DataFrame({"text": TEXTS, "stars": pd.array([1, None, 3] * 10, "Int64")}, index=range(100, 130))
    answers = label(frame, base_url, schema=Label)
    found = answers.to_pandas()
    pd.testing.assert_frame_equal(found[["text", "stars"]], frame, check_index_type=False)
    assert set(found.label) <= {"positive", "negative"}
    assert (answers.summary.state, answers.summary.completed, len(answers)) == ("completed", 30, 30)


def test_the_same_call_resumes_and_buys_nothing(base_url: str, ledger: Ledger) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    first = label(frame, base_url).to_pandas()
    assert len(ledger.bought) == 30
    pd.testing.assert_frame_equal(label(frame.copy(), base_url).to_pandas(), first)
    assert len(ledger.bought) == 30


def test_a_changed_frame_is_an_edited_input(base_url: str, ledger: Ledger) -> None:
    """Only the new rows are sent, and the data of the call before is removed."""
    label(pd.DataFrame({"text": TEXTS[:20]}), base_url)
    answers = label(pd.DataFrame({"text": TEXTS[1:21]}), base_url)
    assert [row["text"] for row in answers] == TEXTS[1:21]
    assert len(ledger.bought) == 21
    assert len(list(Path("runs/labels").glob("frame-*"))) == 1


def test_an_edit_that_buys_again_is_asked_about(base_url: str, ledger: Ledger) -> None:
    """It is refused unless the caller agrees; then the run is as it was before."""
    frame = pd.DataFrame({"text": TEXTS})
    label(frame, base_url)
    other = frame.assign(text=frame.text.str.upper())
    with pytest.raises(batchrun.BatchrunError, match="30 of 30 settled rows would leave the results"):
        label(other, base_url)
    assert [row["text"] for row in batchrun.open_run("runs/labels")] == TEXTS
    assert [row["text"] for row in label(other, base_url, agree=True)] == list(other.text)
    assert len(ledger.bought) == 60


def test_a_refused_call_leaves_nothing(base_url: str) -> None:
    """Neither data nor an empty folder."""
    with pytest.raises(batchrun.BatchrunError, match="temperature = 9"):
        label(["a"], base_url, temperature=9)
    with pytest.raises(batchrun.BatchrunError, match=r"the data: has no column txet, .* did you mean text"):
        label([{"text": "a"}], base_url, prompt="{{ txet }}")
    assert not Path("runs/labels").exists()


@pytest.mark.parametrize("out", ["", None, 5, "runs/\0"])
def test_a_run_directory_is_named(out: Any) -> None:
    """An empty text would be the current directory."""
    with pytest.raises(batchrun.BatchrunError, match=r"^out = .*; must be the run directory"):
        batchrun.answer(["a"], model="m", out=out, simulate=True)


def test_a_condition_that_no_row_meets_is_of_the_data(base_url: str) -> None:
    """A file that batchrun made has no name that anybody knows."""
    with pytest.raises(batchrun.BatchrunError, match=r"^the data: no row meets where$"):
        label(["a"], base_url, where="prompt == 'b'")


def test_strings_are_prompts_and_dicts_are_rows(base_url: str) -> None:
    strings = label(["What is 1 + 1?"], base_url, prompt=None, out="runs/strings")
    assert [row["prompt"] for row in strings] == ["What is 1 + 1?"]
    rows = [{"messages": [{"role": "user", "content": "Hello"}], "params": {"max_tokens": 5}}]
    assert label(rows, base_url, prompt=None, out="runs/rows").summary.completed == 1


def test_the_index_stays_when_only_some_columns_are_kept(base_url: str) -> None:
    frame = pd.DataFrame({"text": TEXTS[:3], "long": ["x"] * 3}, index=["a", "b", "c"])
    found = label(frame, base_url, keep="text").to_pandas()
    assert ("long" in found, list(found.index)) == (False, ["a", "b", "c"])


def test_a_bad_row_of_a_list_is_named_by_its_number(base_url: str) -> None:
    """From 0, as everywhere else in Python."""
    answers = label([{"text": "a"}, {"note": "b"}], base_url)
    assert [row["error"] for row in answers.failed] == ["the data: row 1: has no column text, which prompt.user names"]


def test_a_function_scores_the_answers(base_url: str) -> None:
    def is_long(row: dict[str, Any]) -> bool:
        return len(row["response"]) > 0

    answers = label(pd.DataFrame({"text": TEXTS}), base_url, scorer=is_long)
    assert [each["mean"] for each in answers.summary.scores] == [1.0]


def test_a_function_that_raises_for_every_row_is_an_error(base_url: str, ledger: Ledger) -> None:
    """Also without a progress bar; the answers are kept."""
    for _ in range(2):
        with pytest.raises(
            batchrun.BatchrunError, match=r"ZeroDivisionError.*the answers are kept: batchrun\.open_run"
        ):
            label(pd.DataFrame({"text": TEXTS[:3]}), base_url, scorer=lambda row: 1 / 0)
    assert len(ledger.bought) == len(batchrun.open_run("runs/labels")) == 3


def test_it_can_be_awaited(base_url: str) -> None:
    async def main() -> batchrun.Answers:
        return await batchrun.aanswer(TEXTS[:3], model="m", out="runs/awaited", base_url=base_url, progress=False)

    assert asyncio.run(main()).summary.completed == 3


def test_a_run_that_stops_with_rows_left_raises(base_url: str) -> None:
    """Then cells below do not work with half of the answers; what is settled can be read."""
    with pytest.raises(batchrun.BatchrunError, match=r"what is settled: batchrun.open_run") as caught:
        label(TEXTS, base_url, prompt=None, max_tokens_total=800, max_tokens=20, agree=True, max_concurrency=1)
    assert caught.value.exit_code == 5
    assert 0 < len(batchrun.open_run("runs/labels")) < 30


def test_answers_can_be_the_data_of_the_next_call_as_a_table(base_url: str) -> None:
    first = label(pd.DataFrame({"text": TEXTS[:4]}), base_url)
    second = label(first.to_arrow(["text", "response"]), base_url, prompt="Short: {{ response }}", out="runs/second")
    assert [row["text"] for row in second] == TEXTS[:4]


def test_answers_are_the_data_of_the_next_call(base_url: str) -> None:
    """As a run that is an input: its own columns are named `first.`, and nothing is copied."""
    first = label(pd.DataFrame({"text": TEXTS[:4]}), base_url)
    second = label(first, base_url, prompt="Is this right? {{ text }}: {{ first.response }}", out="runs/second")
    assert [row["text"] for row in second] == TEXTS[:4]
    assert [row["first.response"] for row in second] == [row["response"] for row in first]
    assert not list(Path("runs/second").glob("frame-*"))


def test_failed_rows_can_be_the_data_too(base_url: str) -> None:
    """As a table: of these there is nothing but what the first run was given, and why they failed."""
    first = label([{"text": "one"}, {"text": "[[simulate: 400]]"}], base_url)
    second = label(first.failed, base_url, prompt="Why? {{ error }}", out="runs/second")
    assert [(row["text"], row["status"]) for row in second] == [("[[simulate: 400]]", "completed")]
