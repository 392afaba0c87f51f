"""`batchrun report`."""

from pathlib import Path

import click

from batchrun.report.content import write_report


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
def report_command(run: Path) -> None:
    """Write report.html: one page about a run that opens from disk and needs no network.

    It shows how the answers are distributed, scores, failures, models side by side, rows that can be searched, cost,
    and what happened over time. Also works while the job runs; then it shows what is settled so far.

    \b
    batchrun report runs/label_reviews
    """
    reported = write_report(run)
    for notice in reported.notices:
        click.echo(f"note: {notice}", err=True)
    click.echo(str(reported.path), err=True)
