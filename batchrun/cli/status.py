"""`batchrun status`."""

import dataclasses
from pathlib import Path

import click
import orjson

from batchrun.cli.texts import counts_lines
from batchrun.results.state import summary_of


@click.command("status")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")
def status_command(run: Path, as_json: bool) -> None:
    """Show the counts, tokens and cost of a run, also while it runs.

    \b
    batchrun status runs/label_reviews
    batchrun status runs/label_reviews --json | jq .completed
    """
    summary = summary_of(run)
    if as_json:
        click.echo(orjson.dumps(dataclasses.asdict(summary)).decode())
        return
    for line in counts_lines(summary):
        click.echo(line)
    if summary.message:
        click.echo(f"{summary.state}: {summary.message}")
