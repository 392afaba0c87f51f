"""`batchrun status`."""

from pathlib import Path
from typing import Any

import click
import orjson

from batchrun.cli.history_texts import history_lines
from batchrun.cli.list_texts import Listed, list_lines, listed
from batchrun.cli.texts import counts_lines
from batchrun.errors import RunDirectoryError
from batchrun.results.run_json import entry_of
from batchrun.results.state import summary_of
from batchrun.storage.lost import lost_text
from batchrun.storage.runs import is_run, runs_below

_DEFAULT_FOLDER = Path("runs")


@click.command("status")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")
def status_command(run: Path | None, as_json: bool) -> None:
    """Show the counts, tokens, cost and history of a run, also while it runs; or list all runs below a folder.

    A live run has its rate, the time left, and a pause with its reason. Without RUN, or with a folder, all runs
    in it are listed with their cost, newest first; without RUN the folder is `runs`.

    \b
    batchrun status
    batchrun status runs/label_reviews
    batchrun status runs/label_reviews --json | jq .completed
    """
    folder = run or _DEFAULT_FOLDER
    if is_run(folder):
        _show(folder, as_json=as_json)
    else:
        _list(folder, as_json=as_json)


def _show(run: Path, *, as_json: bool) -> None:
    summary = summary_of(run)
    if as_json:
        _print_json(entry_of(summary))
        return
    for line in [*counts_lines(summary), *history_lines(summary)]:
        click.echo(line)
    if summary.message:
        click.echo(f"{summary.state}: {summary.message}")


def _list(folder: Path, *, as_json: bool) -> None:
    found = [listed(each) for each in runs_below(folder)]
    if not found:
        if lost := lost_text(folder):
            raise RunDirectoryError(lost)
        message = f"{folder}: holds no run, nor does a folder in it; give the directory of a run, or a folder of runs"
        raise RunDirectoryError(message)
    runs = sorted(found, key=lambda each: each.started_at, reverse=True)
    if as_json:
        _print_json(_as_json(runs))
        return
    for line in list_lines(runs):
        click.echo(line)


def _as_json(runs: list[Listed]) -> dict[str, Any]:
    entries = [
        {"directory": str(each.directory), "problem": each.problem} if each.summary is None else entry_of(each.summary)
        for each in runs
    ]
    return {"runs": entries, "cost_usd": sum(each.least_usd or 0.0 for each in runs)}


def _print_json(content: dict[str, Any]) -> None:
    click.echo(orjson.dumps(content).decode())
