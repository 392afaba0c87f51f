"""The progress of a run in a notebook."""

import sys
from types import SimpleNamespace

import pytest
from tqdm import notebook

from batchrun.records import Figures, RowCount
from batchrun.report.bar import Lines
from batchrun.report.notebook_bar import Widget, is_notebook, notebook_progress


def figures(done: int, total: RowCount | None) -> Figures:
    counts = {"failed": 0, "throttled": 0, "tokens": 0, "in_flight": 1, "limit": 4, "waiting": 0}
    return Figures(done=done, total=total, pause=None, **counts)


@pytest.mark.parametrize(
    ("shell", "expected"),
    [(None, False), (SimpleNamespace(config={}), False), (SimpleNamespace(config={"IPKernelApp": {}}), True)],
)
def test_a_notebook_is_a_kernel_of_jupyter(shell: object, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython in a terminal is not."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert is_notebook() is expected


def test_without_ipython_it_is_not_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not is_notebook()


def test_lines_are_printed_where_there_are_no_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(notebook_progress(), Widget)
    monkeypatch.setattr(notebook, "IProgress", None)
    assert isinstance(notebook_progress(), Lines)


def test_the_widget_follows_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Its end is the number of rows as soon as that is known."""
    with Widget() as widget:
        widget.show(figures(0, None))  # before it has begun
        widget.begin(2)
        widget.show(figures(3, None))
        widget.show(figures(5, RowCount(10, is_exact=True)))
        left, bar, right = widget._bar.container.children
        assert (bar.value, bar.max, left.value.strip("\u2007")) == (5, 10, "50%")
        assert right.value.strip().startswith("5/10")
        widget.say("note: hello")
        widget.show(figures(10, RowCount(10, is_exact=True)))
    assert bar.bar_style == "success"
    assert "note: hello\n" in capsys.readouterr().out
