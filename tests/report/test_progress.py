"""The text of the bar and of a log's lines."""

import pytest

from batchrun.records import EndpointFigures, Figures, RowCount
from batchrun.report.progress import bar_text, line_every_s, line_text, percent

FIGURES = Figures(
    done=1_200,
    total=RowCount(5_000, is_exact=True),
    failed=0,
    throttled=0,
    tokens=45_600,
    in_flight=48,
    limit=50,
    waiting=0,
    pause=None,
    rate_per_s=120.0,
)
NOW_MS = 1_800_000_000_000
OUTAGE = FIGURES._replace(
    waiting=1_234,
    throttled=9_500,
    failed=3,
    in_flight=1,
    rate_per_s=None,
    pause="overloaded: The engine is currently overloaded, please try again later",
    paused_since_ms=NOW_MS - 45 * 60_000,
    probe_at_ms=NOW_MS + 25_000,
)


def test_tokens_that_no_answer_stated_are_not_shown() -> None:
    """Zero would say that nothing was used."""
    line = line_text(FIGURES._replace(tokens=None), NOW_MS)
    assert line == "1,200/5,000 rows · 120.0/s · 48/50 in flight · 0 failed · about 31.7 s left"
    assert "· 0 tokens ·" in line_text(FIGURES._replace(tokens=0), NOW_MS)


def test_a_line_shows_what_is_sent_again_throttled_and_pause_only_if_there_are_any() -> None:
    """The number of failures is always shown, even 0. In a pause there is neither a rate nor a time left."""
    assert line_text(FIGURES, NOW_MS) == (
        "1,200/5,000 rows · 120.0/s · 48/50 in flight · 0 failed · 45.6k tokens · about 31.7 s left"
    )
    assert line_text(OUTAGE, NOW_MS) == (
        "1,200/5,000 rows · 1/50 in flight · 1,234 to send again · 9.50k throttled · 3 failed · 45.6k tokens · "
        f"next probe in 25 s · PAUSED 45 min: {OUTAGE.pause}"
    )


@pytest.mark.parametrize(
    ("changes", "starts", "ends"),
    [
        ({"total": RowCount(5_000, is_exact=False)}, "1,200/about 5,000 rows · 120.0/s · ", " · about 31.7 s left"),
        ({"rate_per_s": 20.0}, "1,200/5,000 rows · 20.0/s · ", " · about 3 min 10 s left"),
        ({"total": None}, "1,200/? rows · 120.0/s · ", "tokens"),
        ({"done": 5_000}, "5,000/5,000 rows · 120.0/s · ", "tokens"),
        ({"rate_per_s": 0.0}, "1,200/5,000 rows · 0.0/s · ", "tokens"),
        ({"rate_per_s": None}, "1,200/5,000 rows · 48/50 in flight · ", "tokens"),
    ],
)
def test_a_line_has_the_rows_the_rate_and_the_time_left(changes: dict[str, object], starts: str, ends: str) -> None:
    """With a rate of 0, or none, the time left is unknown."""
    line = line_text(FIGURES._replace(**changes), NOW_MS)  # type: ignore[arg-type]
    assert line.startswith(starts)
    assert line.endswith(ends)


def test_the_time_left_is_unknown_in_an_outage() -> None:
    """Also if a rate was known. While a rate of the endpoint is waited for, rows are settled all the time."""
    assert " left" not in line_text(OUTAGE._replace(rate_per_s=120.0), NOW_MS)
    assert line_text(FIGURES._replace(pause="a rate was exceeded"), NOW_MS).endswith(" · about 31.7 s left")


STOPPING = OUTAGE._replace(stopping="stop_at 07:30 has come", drained_by_ms=NOW_MS + 28_000)


def test_a_run_that_stops_says_why_and_until_when_it_waits() -> None:
    """No pause is shown then: nothing is asked any more."""
    assert line_text(STOPPING, NOW_MS).endswith(" tokens · ends in 28 s at most · STOPPING: stop_at 07:30 has come")
    assert bar_text(STOPPING, NOW_MS, 79).endswith(" · 3 failed · STOPPING: stop_at 07:30 has come")
    assert bar_text(STOPPING, NOW_MS, 50).endswith(" · 3 failed · STOPPING: s…")


@pytest.mark.parametrize(
    ("done", "total", "shown"), [(0, 5_000, 0), (4_999, 5_000, 99), (5_000, 5_000, 100), (7, 5, 100), (0, 0, None)]
)
def test_a_share_is_100_percent_only_at_the_end(done: int, total: int, shown: int | None) -> None:
    assert percent(FIGURES._replace(done=done, total=RowCount(total, is_exact=True))) == shown


BUSY = FIGURES._replace(
    done=1_204_566,
    total=RowCount(10_000_000, is_exact=False),
    failed=1_310,
    waiting=1_234,
    throttled=9_500,
    cost_usd=41.27,
    cap_usd=100.0,
)


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("figures", [FIGURES, OUTAGE, BUSY, OUTAGE._replace(cost_usd=0.25, cap_usd=5.0)])
def test_the_bar_keeps_what_matters_at_any_width(figures: Figures, columns: int) -> None:
    """Rows, failures, a pause with its reason, and the cost under a cap; and it has room for the bar itself."""
    text = bar_text(figures, NOW_MS, columns)
    assert text.startswith(f"{figures.done:,}/")
    assert f"{figures.failed:,} failed" in text
    assert ("PAUSED 45 min: overl" in text) == (figures.pause is not None) or columns < 80
    assert ("PAUSED" in text) == (figures.pause is not None)
    assert (" USD" in text) == (figures.cap_usd is not None)
    if columns >= 80:
        assert len(text) <= columns - 13


def test_a_tiny_cap_is_shown_as_it_is_typed() -> None:
    assert " of 0.00001 USD" in line_text(FIGURES._replace(cost_usd=0.0, cap_usd=0.00001), NOW_MS)


def test_the_bar_drops_the_rest_at_80_columns() -> None:
    """With more columns everything is there, and a reason is not cut."""
    assert bar_text(FIGURES, NOW_MS, 79) == "1,200/5,000 · 120.0/s · 0 failed · about 31.7 s left"
    assert bar_text(OUTAGE, NOW_MS, 79) == ("1,200/5,000 · 3 failed · PAUSED 45 min: overloaded: The engine is…")
    assert bar_text(BUSY, NOW_MS, 79) == "1,204,566/about 10,000,000 · 1,310 failed · 41.27 of 100 USD"
    assert bar_text(OUTAGE, NOW_MS, 220) == line_text(OUTAGE, NOW_MS).replace(" rows", "", 1)


def lines_in(seconds: float, paused: bool) -> int:
    """How many lines a log gets in this time."""
    at_s, lines = 0.0, 0
    while at_s < seconds:
        at_s += line_every_s(0.0 if paused else at_s, at_s if paused else None)
        lines += 1
    return lines


def test_a_log_slows_down() -> None:
    """A line every 5 s in an outage of 12 hours would be 8,640 lines."""
    assert lines_in(60, paused=True) == lines_in(60, paused=False) == 12
    assert lines_in(12 * 3600, paused=True) < 150
    assert lines_in(12 * 3600, paused=False) < 1_000
    assert line_every_s(12 * 3600, 12 * 3600) == 600


def test_a_log_is_as_fast_as_before_when_a_pause_is_over() -> None:
    assert line_every_s(100, None) == 5
    assert line_every_s(100, 80) == 8
    assert line_every_s(100, 80, least_s=3600) == 3600


SEVERAL = FIGURES._replace(
    endpoints=(
        EndpointFigures("east", 20, 20),
        EndpointFigures("north", 8, 10, state="closed", reason="the key is refused"),
        EndpointFigures("west", 1, 40, state="away", reason="timeout"),
        EndpointFigures("south", 19, 20),
    )
)


def test_several_endpoints_are_shown_with_what_is_in_flight_and_which_are_away() -> None:
    assert "48/50 in flight · east 20/20 · south 19/20 · north closed · west away · 0 failed" in line_text(
        SEVERAL, NOW_MS
    )


def test_where_there_is_no_room_only_those_that_are_away_are_shown() -> None:
    """The others go first, all together."""
    texts = {columns: bar_text(SEVERAL, NOW_MS, columns) for columns in range(40, 200)}
    assert all(("east" in text) == ("south" in text) for text in texts.values())
    assert any("east" not in text and "north closed · west away" in text for text in texts.values())
    assert all("tokens" in text for text in texts.values() if "east" in text)
