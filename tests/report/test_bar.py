"""Progress on stderr while a job runs."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest
from harness.terminals import terminal

from batchrun.records import Figures, RowCount
from batchrun.report.bar import Bar, Lines, Silence, progress_on

FIGURES = Figures(
    done=30,
    total=RowCount(100, is_exact=True),
    failed=1,
    throttled=0,
    tokens=50,
    in_flight=4,
    limit=8,
    waiting=0,
    pause=None,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def drawing(monkeypatch: pytest.MonkeyPatch, columns: int) -> Iterator[tuple[TextIO, Callable[[], str]]]:
    """A stream to a terminal with so many columns, and what was drawn."""
    monkeypatch.setenv("TERM", "xterm")
    with terminal(columns) as (file, drawn), open(file, "w", encoding="utf-8", closefd=False) as stream:
        yield stream, drawn


def test_a_terminal_gets_a_bar_and_a_log_gets_lines() -> None:
    """The kind of output is detected."""
    assert isinstance(progress_on(Terminal()), Bar)
    assert isinstance(progress_on(io.StringIO()), Lines)


def test_a_log_gets_a_line_once_per_interval() -> None:
    """Updates between two lines write nothing."""
    stream = io.StringIO()
    with Lines(stream, every_s=3600) as lines:
        lines.begin(0)
        lines.show(FIGURES)
    assert stream.getvalue() == ""
    with Lines(stream, every_s=0) as lines:
        lines.begin(0)
        lines.show(FIGURES)
        lines.show(FIGURES)
    assert stream.getvalue().count("30/100 rows") == 2


def test_a_log_slows_down_only_while_nothing_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several models, one may be away while the others answer."""
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    counts = []
    for grows in (False, True):
        stream = io.StringIO()
        lines = Lines(stream)
        lines.begin(0)
        for second in range(600):
            now_s += 1
            lines.show(FIGURES._replace(done=second if grows else 0, pause="overloaded: no"))
        counts.append(stream.getvalue().count("\n"))
    assert counts[0] < 50 < 90 < counts[1]


def test_a_log_line_begins_with_date_and_time() -> None:
    """So does each line of a message: a log of a night has two days."""
    stream = io.StringIO()
    Lines(stream).say("done\ncost")
    assert re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (done|cost)\n){2}", stream.getvalue())
    stream = io.StringIO()
    Lines(stream).say("paused")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d paused\n", stream.getvalue())


def test_the_bar_shows_rows_and_state_below_the_messages() -> None:
    """A message is written above the bar, and the bar is drawn again below it."""
    stream = Terminal()
    with Bar(stream) as bar:
        bar.say("note: before it begins")
        bar.show(FIGURES)  # before the bar exists
        bar.begin(20)
        bar.show(FIGURES)
        bar.say("paused (overloaded)")
        bar.show(FIGURES._replace(done=100, failed=2))
    shown = stream.getvalue()
    assert "30/100" in shown
    assert "100/100" in shown
    assert "4/8 in flight · 1 failed" in shown
    assert "2 failed" in shown
    assert "note: before it begins\n" in shown
    assert "paused (overloaded)\n" in shown


def test_the_bar_works_without_a_total() -> None:
    """The total of standard input is unknown until its end."""
    stream = Terminal()
    with Bar(stream) as bar:
        bar.begin(0)
        bar.show(FIGURES._replace(total=None))
        bar.show(FIGURES)
    assert "30/? · " in stream.getvalue()
    assert "30/100" in stream.getvalue()


def test_the_bar_marks_an_estimated_total() -> None:
    """The total is an estimate until the whole input is read."""
    stream = Terminal()
    with Bar(stream) as bar:
        bar.begin(0)
        bar.show(FIGURES._replace(total=RowCount(116, is_exact=False)))
        assert re.search(r" 25%\|.*\| 30/about 116 · 4/8 in flight", stream.getvalue())
        bar.show(FIGURES)
    assert re.search(r" 30%\|.*\| 30/100 · 4/8 in flight", stream.getvalue())


@pytest.mark.parametrize(("columns", "kind"), [(0, Lines), (80, Bar)])
def test_a_terminal_without_a_width_gets_lines(monkeypatch: pytest.MonkeyPatch, columns: int, kind: type) -> None:
    """Some consoles of containers and CI systems report a width of 0."""
    with drawing(monkeypatch, columns) as (stream, _):
        assert isinstance(progress_on(stream), kind)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot draw a line again."""
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_on(Terminal()), Lines)


def test_the_bar_stays_in_one_line_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is too long is wrapped, and each redraw then adds a line. Its bar is full at the end."""
    with drawing(monkeypatch, 80) as (stream, shown):
        with Bar(stream) as bar:
            bar.begin(0)
            bar.show(FIGURES._replace(pause="overloaded: " + "very long " * 30, waiting=5, throttled=70))
            bar.show(FIGURES._replace(done=100))
        drawn = re.split("[\r\n]+", shown())
    assert max(map(len, drawn)) <= 80
    assert any(" failed · PAUSED: overloaded: very lo" in line for line in drawn)
    assert re.search(r"100%\|█+\| 100/100 · ", drawn[-2] or drawn[-3])


def test_quiet_progress_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a bar nor messages."""
    with Silence() as silence:
        silence.begin(0)
        silence.show(FIGURES)
        silence.say("paused")
    assert capsys.readouterr() == ("", "")
