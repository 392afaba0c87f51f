"""`batchrun report`."""

from pathlib import Path

import click

from batchrun.report.content import write_report


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
def report_command(run: Path) -> None:
    """Write report.html: one page to look at a run, which opens from disk and needs no network.

    It shows what ran, totals and money, plots, failures, and rows to search. Works beside a running job too, and then
    shows what is settled so far.

    \b
    batchrun report runs/label_reviews
    """
    reported = write_report(run)
    for notice in reported.notices:
        click.echo(f"note: {notice}", err=True)
    click.echo(str(reported.path), err=True)
