"""Shows the progress of a run on stderr: a tqdm bar on a terminal, otherwise a line every few seconds."""

import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from tqdm import tqdm

from batchrun.records import Figures
from batchrun.report.texts import line_text, state_text

TICK_S = 0.25
"""Time between two updates of the bar."""

_LINE_EVERY_S = 5.0

_GUESSED_TOTAL = "{l_bar}{bar}| {n_fmt}/about {total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
"""The bar while the total is a guess. Source: tqdm's own format, with "about"."""


class Progress(Protocol):
    """Shows the progress of a run."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def begin(self, done_before: int) -> None:
        """Start, with this many rows settled by earlier executions."""

    def show(self, figures: Figures) -> None:
        """Show the figures of the run."""

    def say(self, message: str) -> None:
        """Print a message."""


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self, done_before: int) -> None:
        """Start."""

    def show(self, figures: Figures) -> None:
        """Show nothing."""

    def say(self, message: str) -> None:
        """Print nothing."""


class Lines(Silence):
    """Prints a line every few seconds, for logs."""

    def __init__(self, stream: TextIO, every_s: float = _LINE_EVERY_S) -> None:
        self._stream = stream
        self._every_s = every_s
        self._done_before = 0
        self._began_s = self._next_s = time.monotonic()

    def begin(self, done_before: int) -> None:
        """Start, with this many rows settled by earlier executions."""
        self._done_before = done_before
        self._began_s = time.monotonic()
        self._next_s = self._began_s + self._every_s

    def show(self, figures: Figures) -> None:
        """Print the figures of the run, if the next line is due."""
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + self._every_s
            self.say(line_text(figures, self._done_before, now_s - self._began_s))

    def say(self, message: str) -> None:
        """Print a line with the time of day."""
        print(f"{time.strftime('%H:%M:%S')} {message}", file=self._stream, flush=True)


class Bar(Silence):
    """Draws a tqdm bar."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: tqdm | None = None  # type: ignore[type-arg]  # generic only in its stubs

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, done_before: int) -> None:
        """Start, with this many rows settled by earlier executions."""
        tqdm.monitor_interval = 0  # its thread redraws stalled bars; this one is redrawn regularly
        self._bar = tqdm(
            initial=done_before, unit="row", file=self._stream, dynamic_ncols=True, mininterval=0, leave=True
        )

    def show(self, figures: Figures) -> None:
        """Redraw."""
        if self._bar is None:
            return
        self._bar.total = None if figures.total is None else figures.total.rows
        self._bar.bar_format = _GUESSED_TOTAL if figures.total is not None and not figures.total.is_exact else None
        self._bar.set_postfix_str(state_text(figures), refresh=False)
        self._bar.update(figures.done - self._bar.n)
        self._bar.refresh()

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        tqdm.write(message, file=self._stream)


def progress_on(stream: TextIO) -> Progress:
    """Return a bar for a terminal, lines for other streams."""
    return Bar(stream) if stream.isatty() else Lines(stream)
