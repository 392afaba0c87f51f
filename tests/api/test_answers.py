"""Answers as tables of every library, with the types of what was passed."""

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from harness.later import Later
from harness.ledger import Ledger

import batchrun

datasets = Later("datasets")
duckdb = Later("duckdb")


TEXTS = ["one", "two", "three"]


def answered(data: Any, base_url: str, **settings: Any) -> batchrun.Answers:
    settings = {"prompt": "Say {{ text }}", "model": "m", "out": "runs/a", "progress": False} | settings
    return batchrun.answer(data, base_url=base_url, **settings)


@pytest.fixture
def answers(base_url: str) -> batchrun.Answers:
    """Of three rows, the second of which is broken."""
    rows = [{"prompt": "one"}, {"prompt": 5}, {"prompt": "three"}]
    return answered(rows, base_url, prompt=None)


def test_types_of_pandas_come_back(base_url: str) -> None:
    """Also extension types, categories and time zones, whole or by column, under the frame's index."""
    frame = pd.DataFrame(
        {
            "text": TEXTS,
            "n": pd.array([1, None, 3], "Int64"),
            "kind": pd.Categorical(["x", "y", "x"], ["y", "x"]),
            "at": pd.to_datetime(["2020-01-01"] * 3).tz_localize("Europe/Berlin"),
            "many": [[1, 2], [], [3]],
        },
        index=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["group", "place"]),
    )
    answers = answered(frame, base_url)
    found = answers.to_pandas()
    assert list(found.many.map(list)) == list(frame.many)
    pd.testing.assert_frame_equal(found[["text", "n", "kind", "at"]], frame[["text", "n", "kind", "at"]])
    pd.testing.assert_frame_equal(answers.to_pandas(["kind"]), frame[["kind"]])


def test_samples_repeat_the_index(base_url: str) -> None:
    """Two answers to each row are two rows of the same index."""
    frame = pd.DataFrame({"text": TEXTS}, index=[7, 8, 9])
    assert list(answered(frame, base_url, num_samples=2).to_pandas().index) == [7, 7, 8, 8, 9, 9]
    plain = answered(frame.reset_index(drop=True), base_url, num_samples=2, out="runs/b").to_pandas()
    assert list(plain.index) == [0, 0, 1, 1, 2, 2]


def test_some_rows_keep_their_places_in_the_frame(base_url: str) -> None:
    """Also under an index that only numbers the rows: a column of the answers is assigned to the right rows."""
    frame = pd.DataFrame({"text": [f"number {number}" for number in range(20)]})
    found = answered(frame, base_url, sample=5).to_pandas()
    assert [frame.text[place] for place in found.index] == list(found.text)
    assert list(found.index) == list(found.row) != list(range(5))
    for columns in (["text"], "text"):
        assert batchrun.open_run("runs/a").to_pandas(columns).equals(found[["text"]])
    whole = answered(frame, base_url, out="runs/b").to_pandas()
    assert whole.index.equals(frame.index)


def test_types_of_polars_come_back(base_url: str) -> None:
    frame = pl.DataFrame(
        {
            "text": TEXTS,
            "kind": pl.Series(["x", "y", "x"], dtype=pl.Enum(["x", "y"])),
            "small": pl.Series([1, None, 3], dtype=pl.UInt8),
            "both": [{"s": "q"}, None, {"s": "r"}],
        }
    )
    found = answered(frame, base_url).to_polars()
    assert found.select(frame.columns).equals(frame)
    assert found.select(frame.columns).schema == frame.schema


def test_features_of_datasets_come_back(base_url: str) -> None:
    """Labels keep their names; the columns of the answers have features too."""
    features = datasets.Features({"text": datasets.Value("string"), "y": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"text": TEXTS, "y": [0, 1, 1]}, features=features)
    found = answered(data, base_url).to_dataset()
    assert found.features["y"] == features["y"]
    assert (found["y"][:], found.features["completion_tokens"].dtype) == ([0, 1, 1], "int64")
    assert answered([{"text": "a"}], base_url, out="runs/b").to_dataset().features["text"].dtype == "string"


def test_duckdb_reads_what_it_passed(base_url: str) -> None:
    columns = "'one' as text, 1.5::decimal(10, 2) as price, [1, 2] as many, date '2020-01-01' as day"
    relation = duckdb.sql(f"select {columns}")
    again = duckdb.from_arrow(answered(relation, base_url).to_arrow()).select("text, price, many, day")
    assert (again.types, again.fetchall()) == (relation.types, relation.fetchall())


def test_a_column_that_clashes_keeps_its_values(base_url: str) -> None:
    """It gets a prefix, as in results.parquet."""
    frame = pd.DataFrame({"text": TEXTS, "model": pd.array([1, None, 3], "Int64")}, index=[5, 6, 7])
    found = answered(frame, base_url).to_pandas()
    assert list(found.input_model.dropna()) == [1, 3]
    assert (set(found.model), list(found.index)) == ({"m"}, [5, 6, 7])


def test_rows_are_dicts_and_are_counted(answers: batchrun.Answers) -> None:
    rows = list(answers)
    assert [row["prompt"] for row in rows] == ["one", "5", "three"]
    assert (len(answers), len(answers.completed), len(answers.failed)) == (3, 2, 1)
    assert [row["row"] for row in answers.completed] == [0, 2]
    assert [row["error_kind"] for row in answers.failed] == ["bad_row"]
    assert answers.failed.to_pandas(["row", "error"]).row.tolist() == [1]
    assert answers.failed.to_arrow(["status"]).to_pydict() == {"status": ["failed"]}


def test_columns_come_in_the_order_in_which_they_are_named(answers: batchrun.Answers) -> None:
    assert answers.to_arrow(["status", "row"]).column_names == ["status", "row"]
    assert answers.to_polars("status").columns == ["status"]  # type: ignore[arg-type]  # people pass one name
    with pytest.raises(batchrun.BatchrunError, match='no column "respons"; did you mean response'):
        answers.to_arrow(["respons"])


def test_any_library_that_reads_arrow_takes_the_answers(answers: batchrun.Answers) -> None:
    assert pl.DataFrame(answers).shape == pa.table(answers).shape
    assert pa.RecordBatchReader.from_stream(answers.failed).read_all().num_rows == 1


def test_results_that_are_missing_or_old_are_written_first(answers: batchrun.Answers) -> None:
    Path("runs/a/results.parquet").unlink()
    assert len(batchrun.open_run("runs/a")) == 3


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(batchrun.BatchrunError, match="nowhere: holds no run"):
        batchrun.open_run(tmp_path / "nowhere")


def test_it_shows_itself(answers: batchrun.Answers) -> None:
    """In a terminal as one line, in a notebook with its first rows."""
    line = "runs/a: completed, 2 of 3 rows completed, 1 failed, no price known"
    assert repr(answers).startswith(f"<{line}")
    assert repr(answers.failed).startswith("<the failed rows of runs/a: ")
    page = answers._repr_html_()
    assert line in page
    assert "all 3 rows" in page
    assert "all 1 failed rows" in answers.failed._repr_html_()


def test_a_moved_run_still_has_its_types(answers: batchrun.Answers, base_url: str) -> None:
    """The data that was passed moves with it, and nothing is sent again."""
    frame = pd.DataFrame({"text": TEXTS}, index=[5, 6, 7])
    answered(frame, base_url, out="runs/here")
    Path("runs/here").rename("moved")
    Path("moved/results.parquet").unlink()
    assert batchrun.open_run("moved").to_pandas(["text"]).equals(frame)


def test_results_are_exported_in_other_shapes(answers: batchrun.Answers, capsys: pytest.CaptureFixture[str]) -> None:
    """At no cost; the schema and the scorer are a dict and a function."""
    assert answers.export("csv") == [Path("runs/a/results.csv")]
    assert answers.export(wide=True) == [Path("runs/a/results.wide.parquet")]
    answers.export(schema={"type": "object", "properties": {"label": {"type": "string"}}})
    assert len(batchrun.open_run("runs/a").completed) == 0
    assert "note: 2 more rows are failed than in the run" in capsys.readouterr().err
    answers.export(scorer=lambda row: len(row["response"]))
    assert "score" in answers.to_arrow().column_names
    with pytest.raises(batchrun.BatchrunError, match="format = 'xml'; must be one of parquet, jsonl, csv, openai"):
        answers.export("xml")
    with pytest.raises(batchrun.BatchrunError, match="rows without a score"):
        answers.export(scorer=lambda row: row["gap"])


def test_the_report_is_shown_inside_of_a_frame(answers: batchrun.Answers) -> None:
    """Which may run the page's own script only."""
    page = answers.report()
    assert page.path == Path("runs/a/report.html")
    frame = page._repr_html_()
    assert frame.startswith('<iframe sandbox="allow-scripts"')
    assert frame.count("<") == 2


def test_failed_rows_are_sent_again(base_url: str, ledger: Ledger) -> None:
    """By the run alone: it has its job, its input and its endpoint. What is answered now is completed."""
    rows = [{"text": "one"}, {"text": "two [[simulate: 400 x1]]"}]
    first = answered(rows, base_url)
    assert [row["row"] for row in first.failed] == [1]
    bought = len(ledger.bought)
    again = batchrun.open_run("runs/a").retry_failed(progress=False)
    assert (len(again.failed), again.status().completed, len(ledger.bought) - bought) == (0, 2, 1)
