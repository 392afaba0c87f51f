"""`batchrun watch`."""

import sys
import time
from pathlib import Path

import click

from batchrun.cli.texts import counts_lines
from batchrun.report.bar import Lines, progress_on, stamped
from batchrun.results.state import figures_of, is_running, summary_of

_POLL_EVERY_S = 0.5


@click.command("watch")
@click.argument("run", type=click.Path(path_type=Path))
def watch_command(run: Path) -> None:
    """Follow a run from another terminal: rows, rate, requests in flight, failures. Ctrl-C ends only this command.

    When the run ends, or does not run, shows its counts, tokens and cost.

    \b
    batchrun watch runs/label_reviews
    """
    with progress_on(sys.stderr) as progress:
        progress.begin(figures_of(run).done)
        try:
            while is_running(run):
                progress.show(figures_of(run))
                time.sleep(_POLL_EVERY_S)
        except KeyboardInterrupt:
            return
    summary = summary_of(run)
    text = "\n".join(filter(None, [*counts_lines(summary), summary.message]))
    click.echo(stamped(text) if isinstance(progress, Lines) else text, err=True)
