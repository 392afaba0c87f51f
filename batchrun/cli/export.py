"""`batchrun export`."""

from pathlib import Path

import click

from batchrun.export import RESULTS, USAGE, export


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
def export_command(run: Path) -> None:
    """Write results.parquet and usage.parquet again from the checkpoint: nothing is sent, nothing costs.

    Works beside a running job too, and then writes what is settled so far.

    \b
    batchrun export runs/label_reviews
    """
    for notice in export(run).notices:
        click.echo(f"note: {notice}", err=True)
    click.echo(f"{run / RESULTS}\n{run / USAGE}", err=True)
