"""`batchrun export`."""

from collections.abc import Iterator
from pathlib import Path

import click

from batchrun.checkpoint.keeping import kept_name
from batchrun.checkpoint.salvage import Salvaged, recover
from batchrun.export import RESULTS, USAGE, export


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--salvage", is_flag=True, help="Recover what can be of a damaged checkpoint first; the old one is kept.")
def export_command(run: Path, salvage: bool) -> None:
    """Write results.parquet and usage.parquet again from the checkpoint: nothing is sent, nothing costs.

    Works beside a running job too, and then writes what is settled so far.

    \b
    batchrun export runs/label_reviews
    batchrun export runs/label_reviews --salvage
    """
    if salvage:
        salvaged = recover(run, beside=[RESULTS])
        for line in ["the checkpoint is sound: nothing to salvage"] if salvaged is None else _said(salvaged):
            click.echo(f"note: {line}", err=True)
    for notice in export(run).notices:
        click.echo(f"note: {notice}", err=True)
    click.echo(f"{run / RESULTS}\n{run / USAGE}", err=True)


def _said(salvaged: Salvaged) -> Iterator[str]:
    of = "; how many there were is lost" if salvaged.expected is None else f" of {salvaged.expected:,}"
    yield f"{salvaged.rows:,} settled rows recovered{of}"
    if salvaged.retired:
        yield f"{salvaged.retired:,} more answers are kept, and used where the job asks for them"
    yield from salvaged.notices
    if (results := kept_name(salvaged.kept, RESULTS)).exists():
        yield f"the results that there were are kept as {results}: they may show answers that are lost here"
    yield f"the damaged checkpoint is kept as {salvaged.kept}; the same `batchrun run` sends only what was lost"
