"""Two runs, or two models, compared prompt by prompt."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batchrun.errors import JobError
from batchrun.report.paired import Difference, difference_of
from batchrun.report.sides import Side


@pytest.fixture
def write_side(write_results: Any, tmp_path: Path) -> Any:
    """Return a function that writes the results of a run: row → (id, label, score)."""

    def write(name: str, rows: dict[int, tuple[str, str | None, float | None]]) -> Side:
        answers = [
            {"row": row, "custom_id": custom_id, "label": label, "score": score, "text": f"text of {custom_id}"}
            for row, (custom_id, label, score) in rows.items()
        ]
        path = write_results(*answers, extra={"text": pa.string()}, typed={"label": pa.string()}, is_scored=True)
        (tmp_path / name).mkdir()
        return Side(tmp_path / name, Path(shutil.move(path, tmp_path / name / "results.parquet")), "m")

    return write


def compared(a: Side, b: Side, by: str | None = None, most: int = 9) -> Difference:
    return difference_of(a, b, by=by, most=most)


def test_prompts_are_paired_by_their_numbers(write_side: Any) -> None:
    """A prompt that only one side has is counted; one without a score on a side has only its label compared."""
    a = write_side("a", {0: ("0", "x", 1.0), 1: ("1", "x", 0.0), 2: ("2", "x", None), 4: ("4", "x", 1.0)})
    b = write_side("b", {0: ("0", "x", 1.0), 1: ("1", "y", 1.0), 2: ("2", "x", 1.0), 3: ("3", "x", 1.0)})
    found = compared(a, b)
    assert (found.prompts, found.only_a, found.only_b, found.changed, found.other_inputs) == (3, 1, 1, 1, 0)
    score, label = found.scores["score"], found.labels["label"]
    assert (score.prompts, score.wins, score.losses, score.ties) == (2, 1, 0, 1)
    assert (label.prompts, label.same) == (3, 2)


def test_prompts_are_paired_by_their_ids_where_these_are_in_another_order(write_side: Any) -> None:
    """As when the input was sorted."""
    a = write_side("a", {0: ("p", "x", 1.0), 1: ("q", "x", 0.0), 2: ("r", "x", 0.0)})
    b = write_side("b", {0: ("q", "x", 0.0), 1: ("p", "x", 0.0), 2: ("s", "x", 0.0)})
    found = compared(a, b)
    assert (found.prompts, found.only_a, found.only_b, found.changed) == (2, 1, 1, 1)
    assert [(each.a.row, each.b.row, each.gain) for each in found.first] == [(0, 1, -1.0)]


def test_prompts_may_be_paired_by_a_column(write_side: Any) -> None:
    """Row numbers and ids may say nothing."""
    a = write_side("a", {0: ("p", "x", 1.0), 1: ("q", "x", 0.0)})
    b = write_side("b", {5: ("q", "x", 0.0), 6: ("p", "x", 1.0)})
    assert compared(a, b, by="text").prompts == 2
    with pytest.raises(JobError, match="no column txt; did you mean text"):
        compared(a, b, by="txt")
    with pytest.raises(JobError, match="more than one row has label = x; --by COLUMN"):
        compared(a, b, by="label")


def test_other_prompts_under_the_same_numbers_are_noticed(write_side: Any) -> None:
    """Without ids, an edited input has the same row numbers."""
    a = write_side("a", {0: ("0", "x", 1.0), 1: ("1", "x", 0.0)})
    b = write_side("b", {0: ("0", "x", 1.0), 1: ("1", "x", 0.0)})
    other = pa.parquet.read_table(b.results).set_column(2, "text", pa.array(["text of 0", "edited"]))
    pa.parquet.write_table(other, b.results)
    assert compared(a, b).other_inputs == 1


def test_runs_without_a_common_row_are_not_compared(write_side: Any) -> None:
    """The cure is in the message."""
    a, b = write_side("a", {0: ("p", "x", 1.0)}), write_side("b", {0: ("q", "x", 1.0)})
    with pytest.raises(JobError, match="have no row in common, by number or id; --by COLUMN"):
        compared(a, b)


def test_the_largest_losses_come_first_and_all_changed_rows_can_be_had(write_side: Any) -> None:
    """Then those whose label changed, in the order of the input."""
    gains = [0.0, 0.5, -0.25, 0.0, -1.0, 0.0]
    a = write_side("a", {row: (str(row), "x", 1.0) for row in range(6)})
    labels = "xxxyxy"
    b = write_side("b", {row: (str(row), labels[row], 1.0 + gain) for row, gain in enumerate(gains)})
    assert [each.a.row for each in compared(a, b).first] == [4, 2, 3, 5, 1]
    assert [each.a.row for each in compared(a, b, most=3).first] == [4, 2, 3]
    seen: list[int] = []
    found = difference_of(a, b, by=None, most=0, each=lambda changed: seen.append(changed.a.row))
    assert (seen, found.first, found.changed) == ([1, 2, 3, 4, 5], [], 5)
