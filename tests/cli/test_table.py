"""Tables fit the terminal, and nothing in a cell is obeyed by it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.cli.table import _width, printable_json, table_lines, value_text, visible

texts = st.text(st.characters(exclude_categories=("Cs",)))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("n", None, ""),
        ("n", 0.1 + 0.2, "0.3"),
        ("n", 2 / 3, "0.6667"),
        ("n", 1234567.0, "1,234,567"),
        ("n", 1e-7, "1e-07"),
        ("n", True, "True"),
        ("n", 12345, "12345"),
        ("cost_usd", 0.0000123, "0.000012"),
        ("n", [1, {"a": None}], '[1,{"a":null}]'),
        ("n", b"abc", "3 bytes"),
        ("n", datetime(2026, 11, 28, 7, 30, 1, 5, UTC), "2026-11-28 07:30:01+00:00"),
        ("n", "a\x1b[31mb\u202ec\x9bd", "a\\x1b[31mb\\u202ec\\x9bd"),
    ],
)
def test_a_value_is_a_text_for_people(name: str, value: Any, text: str) -> None:
    assert value_text(name, value) == text


def test_letters_of_every_script_and_joined_emoji_stay() -> None:
    text = "naïve 日本語 नमस्ते می‌خواهم 👩‍🔬 1 000"
    assert visible(text) == text


@given(texts)
def test_no_text_reaches_the_terminal_with_a_control_character(text: str) -> None:
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in visible(text) if each not in "\n\t")


@given(texts)
def test_printable_json_says_the_same(text: str) -> None:
    shown = printable_json(json.dumps({"a": text}, ensure_ascii=False).encode())
    assert shown.isprintable()
    assert json.loads(shown) == {"a": text}


@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=4), st.integers(2, 120))
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    lines = table_lines(["a", "b", "c"], [[visible(each) for each in row] for row in rows], width)
    assert len(lines) == len(rows) + 2
    assert max(map(_width, lines)) <= width


def test_narrow_columns_stay_whole_and_wide_ones_share_the_rest() -> None:
    lines = table_lines(["id", "text", "more"], [["r1", "x" * 100, "y" * 30]], 40)
    assert lines == [
        "id  text               more",
        "--  ----               ----",
        "r1  xxxxxxxxxxxxxxxx…  yyyyyyyyyyyyyyyy…",
    ]


def test_wide_letters_take_two_cells_and_marks_none() -> None:
    assert table_lines(["a", "b"], [["日本語日本語", "e\u0301e\u0301"]], 12) == [
        "a         b",
        "-         -",
        "日本語…   e\u0301e\u0301",
    ]


def test_names_of_columns_are_made_visible_too() -> None:
    assert table_lines(["a\x1b[2Jb"], [["x"]], 80)[0] == "a\\x1b[2Jb"


def test_line_breaks_in_a_cell_become_spaces() -> None:
    assert table_lines(["a"], [["one\n\n  two"]], 80)[-1] == "one two"
