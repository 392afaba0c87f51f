"""`batchrun compare`."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import click
import orjson

from batchrun.cli.compare_texts import comparison_entry, comparison_lines, row_entry
from batchrun.errors import JobError
from batchrun.prompts.input.files import nearest
from batchrun.report.paired import ChangedRow, difference_of
from batchrun.report.sides import Side
from batchrun.results.export import export
from batchrun.results.run_directory import RESULTS
from batchrun.results.state import is_fresh, summary_of

_ROWS = 10
"""Changed rows that are printed unless the user asks for another number."""


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN]", type=click.Path(path_type=Path))
@click.option(
    "-m",
    "--model",
    "named",
    multiple=True,
    metavar="NAME",
    help="Compare this model; given twice: the first one of RUN with the second one of the second RUN, or of the same.",
)
@click.option(
    "--by", metavar="COLUMN", help="Pair rows by this column of the results; by row number or custom_id unless given."
)
@click.option(
    "-n", "count", type=click.IntRange(0), default=_ROWS, help="Number of changed rows to print; 10 unless given."
)
@click.option(
    "--rows",
    "rows_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write all changed rows to this file, as JSON Lines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")
def compare_command(
    runs: tuple[Path, ...], named: tuple[str, ...], by: str | None, count: int, rows_file: Path | None, as_json: bool
) -> None:
    """Compare two runs, or two models of one run, prompt by prompt. Nothing is sent.

    Prints both means of each score, the difference B − A with its 95 % interval, how many prompts B wins and loses,
    how often the labels are the same, and the rows that changed, those where B lost most first. Two prompts or two
    settings are compared as two runs of the same input.

    \b
    batchrun compare runs/before runs/after
    batchrun compare runs/eval_math
    batchrun compare runs/eval_math -m meta-llama/Llama-3.1-8B-Instruct -m meta-llama/Llama-3.3-70B-Instruct
    batchrun compare runs/before runs/after --rows changed.jsonl
    """
    if len(runs) > 2 or len(named) > 2:
        raise click.UsageError("compare takes one run or two, and at most two models")
    pairs = _sides(runs, named)
    if rows_file is not None and len(pairs) > 1:
        raise click.UsageError(f"--rows takes one comparison, and there are {len(pairs)}; name the model with -m")
    found = []
    with nullcontext() if rows_file is None else _opened(rows_file) as file:
        for a, b in pairs:
            write = None if file is None else _writer(file)
            found.append((a, b, difference_of(a, b, by=by, most=count, each=write)))
    if as_json:
        click.echo(orjson.dumps({"comparisons": [comparison_entry(*each) for each in found]}).decode())
        return
    for number, each in enumerate(found):
        if number:
            click.echo()
        for line in comparison_lines(*each):
            click.echo(line)
    if rows_file is not None:
        click.echo(f"wrote     {rows_file}", err=True)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as problem:
        raise JobError(f"--rows {path}: cannot be written: {problem.strerror}") from problem


def _writer(file: BinaryIO) -> Callable[[ChangedRow], None]:
    return lambda changed: file.writelines([orjson.dumps(row_entry(changed)) + b"\n"])


def _sides(runs: Sequence[Path], named: Sequence[str]) -> list[tuple[Side, Side]]:
    """Return the pairs of sides to compare.

    Raises:
        JobError: it is not clear which models are meant.
    """
    first, last = runs[0], runs[-1]
    models = {run: _models(run) for run in dict.fromkeys(runs)}
    if len(named) == 2:
        pairs = [(named[0], named[1])]
    elif len(runs) == 1:
        if len(models[first]) != 2 or named:
            cure = "name two with -m NAME -m NAME, or give a second run"
            raise JobError(f"{first}: compare takes two models, and the run has {_listed(models[first])}; {cure}")
        pairs = [(models[first][0], models[first][1])]
    elif named:
        pairs = [(named[0], named[0])]
    elif len(models[first]) == len(models[last]) == 1:
        pairs = [(models[first][0], models[last][0])]
    else:
        pairs = [(name, name) for name in models[first] if name in models[last]]
    if not pairs:
        there = f"{first} has {_listed(models[first])}; {last} has {_listed(models[last])}"
        raise JobError(f"the runs have no model in common: {there}; name two with -m NAME -m NAME")
    for run, name in [*((first, one) for one, _ in pairs), *((last, other) for _, other in pairs)]:
        if name not in models[run]:
            raise JobError(
                f"{run}: has no answers of {name}{nearest(name, models[run])}; it has {_listed(models[run])}"
            )
    return [(Side(first, first / RESULTS, one), Side(last, last / RESULTS, other)) for one, other in pairs]


def _listed(models: Sequence[str]) -> str:
    return ", ".join(models) or "none"


def _models(run: Path) -> list[str]:
    """Return the models of a run; its results are written first, if they are missing or old."""
    if not is_fresh(run):
        for notice in export(run).notices:
            click.echo(f"note: {notice}", err=True)
    return [each["model"] for each in summary_of(run, is_brief=True).models if each["requests"]]
