"""Shows the progress of a run on stderr: a tqdm bar on a terminal, otherwise a line every few seconds."""

import os
import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from tqdm import tqdm

from batchrun.records import Figures
from batchrun.report.progress import LINE_EVERY_S, bar_text, line_every_s, line_text, percent

TICK_S = 0.25
"""Time between two updates of the bar."""

_USUAL_COLUMNS = 80
"""Width of a terminal that does not report it."""


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


class Wrapped:
    """Passes everything on to another progress; the parent of those that change one thing."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.begin = progress.begin

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def show(self, figures: Figures) -> None:
        """Show the figures of the run."""
        self._progress.show(figures)

    def say(self, message: str) -> None:
        """Print a message."""
        self._progress.say(message)


class Lines(Silence):
    """Prints a line every few seconds, for logs; less often as time goes by, above all in a pause."""

    def __init__(self, stream: TextIO, every_s: float = LINE_EVERY_S) -> None:
        self._stream = stream
        self._every_s = every_s
        self._began_s = self._last_s = time.monotonic()
        self._paused_s: float | None = None
        """Since when the run is paused and nothing was settled, on the monotonic clock."""
        self._done = 0
        self.has_begun = False
        """Whether anything was printed."""

    def begin(self, done_before: int) -> None:
        """Start."""
        self._began_s = self._last_s = time.monotonic()

    def show(self, figures: Figures) -> None:
        """Print the figures of the run, if the next line is due."""
        now_s = time.monotonic()
        if figures.pause is None:
            self._paused_s = None
        elif self._paused_s is None or figures.done != self._done:  # of several models, one may be away
            self._paused_s = now_s
        self._done = figures.done
        paused_s = None if self._paused_s is None else now_s - self._paused_s
        if now_s - self._last_s >= line_every_s(now_s - self._began_s, paused_s, self._every_s):
            self._last_s = now_s
            self.say(line_text(figures, _now_ms()))

    def say(self, message: str) -> None:
        """Print a message; each of its lines begins with date and time."""
        self.has_begun = True
        print(stamped(message), file=self._stream, flush=True)


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
        columns = _columns(self._stream)
        self._bar = tqdm(
            initial=done_before, file=self._stream, ncols=columns, bar_format="{desc}", mininterval=0, leave=True
        )

    def show(self, figures: Figures) -> None:
        """Redraw."""
        if self._bar is None:
            return
        columns, share = _columns(self._stream), percent(figures)
        self._bar.ncols = columns
        self._bar.total = None if figures.total is None else figures.total.rows
        self._bar.bar_format = "{desc}" if share is None else f"{share:3}%|{{bar}}| {{desc}}"
        self._bar.set_description_str(bar_text(figures, _now_ms(), columns), refresh=False)
        self._bar.update(figures.done - self._bar.n)
        self._bar.refresh()

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        tqdm.write(message, file=self._stream)


def stamped(message: str) -> str:
    """Return a message with date and time at the beginning of each line."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return "\n".join(f"{now} {line}" for line in message.split("\n"))


def _now_ms() -> int:
    return int(time.time() * 1000)


def _columns(stream: TextIO) -> int:
    """Return how many columns a bar may have; one less than the terminal, where a full line may be wrapped."""
    try:
        return os.get_terminal_size(stream.fileno()).columns - 1
    except (OSError, ValueError):
        return _USUAL_COLUMNS - 1


def progress_on(stream: TextIO) -> Progress:
    """Return a bar for a terminal that has a width, lines for other streams."""
    can_draw = stream.isatty() and os.environ.get("TERM") != "dumb" and _columns(stream) > 0
    return Bar(stream) if can_draw else Lines(stream)
