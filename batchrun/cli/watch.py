"""`batchrun watch`."""

import sys
import time
from pathlib import Path

import click

from batchrun.cli.texts import counts_lines
from batchrun.report.bar import progress_on
from batchrun.results.state import figures_of, is_running, summary_of

_LOOK_EVERY_S = 0.5


@click.command("watch")
@click.argument("run", type=click.Path(path_type=Path))
def watch_command(run: Path) -> None:
    """Look at a run while it goes on, from another terminal: rows, rate, in flight, failures. Ctrl-C ends the looking.

    When the run ends, or is not going on, say how it stands.

    \b
    batchrun watch runs/label_reviews
    """
    with progress_on(sys.stderr) as progress:
        progress.begin(figures_of(run).done)
        try:
            while is_running(run):
                progress.show(figures_of(run))
                time.sleep(_LOOK_EVERY_S)
        except KeyboardInterrupt:
            return
    summary = summary_of(run)
    for line in [*counts_lines(summary), summary.message]:
        if line:
            click.echo(line, err=True)
