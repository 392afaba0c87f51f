"""Shows the progress of a run in a notebook: a tqdm widget, or lines of text where there are no widgets."""

import sys
import time
from typing import Any

from batchrun.records import Figures
from batchrun.report.bar import Lines, Progress, Silence
from batchrun.report.progress import bar_text, percent

_COLUMNS = 120
"""Room for the text next to the widget, in characters: what fits into a usual window in one line."""


def is_notebook() -> bool:
    """Return whether this is a cell of a notebook: Jupyter, VS Code, Colab. The same question as in `tqdm.auto`."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def notebook_progress() -> Progress:
    """Return a widget; lines where ipywidgets is not installed."""
    from tqdm import notebook

    has_widgets = getattr(notebook, "IProgress", None) is not None
    return Widget() if has_widgets else Lines(sys.stdout)


class Widget(Silence):
    """A bar of tqdm as a widget, and messages as the output of the cell."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, done_before: int) -> None:
        """Start, with this many rows settled by earlier executions."""
        from tqdm import notebook

        notebook.tqdm.monitor_interval = 0  # its thread redraws stalled bars; this one is redrawn regularly
        self._bar = notebook.tqdm(initial=done_before, bar_format="{desc}", mininterval=0, leave=True)

    def show(self, figures: Figures) -> None:
        """Redraw."""
        if self._bar is None:
            return
        total, share = None if figures.total is None else figures.total.rows, percent(figures)
        if total != self._bar.total:
            self._bar.reset(total)
        self._bar.bar_format = "{desc}" if share is None else f"{share:3}%|{{bar}}| {{desc}}"
        self._bar.set_description_str(bar_text(figures, int(time.time() * 1000), _COLUMNS), refresh=False)
        self._bar.n = figures.done
        self._bar.refresh()

    def say(self, message: str) -> None:
        """Print a message under the bar."""
        print(message, flush=True)  # noqa: T201  # the output of the cell
