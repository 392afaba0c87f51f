"""Cells of the page's table."""

from batchrun.report.cells import cut, shorter


def test_only_a_text_that_is_too_long_is_cut() -> None:
    """A cut text states its length."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc… (of 4 characters)"


def test_a_text_that_is_cut_twice_keeps_its_full_length() -> None:
    """Numbers and short texts stay as they are."""
    assert shorter(cut("x" * 5_000, 2_000), 10) == f"{'x' * 10}… (of 5,000 characters)"
    assert (shorter("short", 10), shorter(12.5, 1), shorter(None, 1)) == ("short", 12.5, None)
