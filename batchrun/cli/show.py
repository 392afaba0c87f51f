"""`batchrun show`."""

import functools
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.cli.curl import as_asked, curl_command, shown_variables
from batchrun.cli.row_text import request_lines, row_lines
from batchrun.cli.table import printable_json, table_lines, value_text, visible
from batchrun.endpoint.renaming import as_asked_of
from batchrun.errors import BatchrunError, JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Job
from batchrun.prompts.input.arrow import python_dicts
from batchrun.prompts.input.files import nearest
from batchrun.records import Request
from batchrun.report.texts import counted
from batchrun.results.requests import Rendered, requests_of
from batchrun.results.rows import Choice, ChosenRows, chosen_rows
from batchrun.results.run_directory import stored_job
from batchrun.results.text_files import json_line

_ROWS = 10
_WIDTH = 100
"""Rows and columns of the table where the user and the terminal do not say how many."""

_EVALUATED = ("score", "judge_score", "vote")
"""Columns of the evaluation that stand in the table, where there are any."""

_MOST_OF_A_ROW = 1 << 24
"""More than the models and samples of a row can be."""

_note = functools.partial(click.echo, err=True)


@click.command("show")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("columns", nargs=-1, metavar="[COLUMN]...")
@click.option("--failed", "is_failed", is_flag=True, help="Only failed rows, with the reasons.")
@click.option("--row", type=click.IntRange(0), metavar="N", help="Show row N of the input in full; the first one is 0.")
@click.option(
    "-n", "count", type=click.IntRange(1), metavar="N", help="Number of rows; 10 unless given, 1 with --curl."
)
@click.option("-m", "--model", metavar="NAME", help="Only answers of this model.")
@click.option("--sample", type=click.IntRange(0), metavar="N", help="Only sample N; the first one is 0.")
@click.option("--curl", "as_curl", is_flag=True, help="Print requests as curl commands; the key stays a variable.")
@click.option(
    "--repair", "is_repair", is_flag=True, help="With --curl: the request that asks again for a fitting answer."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def show_command(
    run: Path, columns: tuple[str, ...], count: int | None, as_curl: bool, is_repair: bool, as_json: bool, **choice: Any
) -> None:
    """Show rows of a run in the terminal: its answers, its failed rows, one row in full. Also works while it runs.

    Name columns of the results to see only these. --curl prints the exact request of a row, to repeat it by hand. It
    is made again from the run directory and the input, and a note says whether the input has changed since.

    \b
    batchrun show runs/label_reviews
    batchrun show runs/label_reviews id label confidence -n 20
    batchrun show runs/label_reviews --failed
    batchrun show runs/label_reviews --row 7
    batchrun show runs/label_reviews --row 7 --curl
    batchrun show runs/label_reviews --failed --curl > request.sh
    """
    if as_curl and (as_json or columns):
        raise click.UsageError("--curl prints requests: leave out --json and the columns")
    if is_repair and not as_curl:
        raise click.UsageError("--repair is a choice of --curl; add --curl")
    chosen = Choice(**choice)
    if as_curl:
        _print_requests(run, chosen, count or 1, is_repair=is_repair)
        return
    most = count or (_ROWS if chosen.row is None else _MOST_OF_A_ROW)
    rows = chosen_rows(run, chosen, most)
    for notice in rows.notices:
        _note(f"note: {notice}")
    _check(run, chosen, rows, columns)
    if as_json:
        for each in _dicts(rows.table.select(columns or rows.table.column_names)):
            click.echo(printable_json(json_line(each)))
    elif chosen.row is not None:
        _print_row(run, chosen.row, rows, columns)
    else:
        _print_table(run, chosen, rows, columns)


def _check(run: Path, choice: Choice, rows: ChosenRows, columns: Sequence[str]) -> None:
    """Refuse what the run does not have.

    Raises:
        JobError: a column, a model, or a row.
    """
    known = rows.table.column_names
    for name in columns:
        if name not in known:
            there = visible(", ".join(known))
            raise JobError(
                f"{run}: the results have no column {name}{visible(nearest(name, known))}; they have {there}"
            )
    if choice.model is not None and choice.model not in rows.models:
        there = f"its models are {', '.join(rows.models)}" if rows.models else "no model has answered yet"
        raise JobError(f"{run}: has no answers of {choice.model}{nearest(choice.model, rows.models)}; {there}")
    if choice.row is not None and not rows.table.num_rows:
        none = "none that has failed" if choice.is_failed else "no answer"
        raise JobError(
            f"{run}: row {choice.row} has {none}; rows are numbered from 0, and rows that are not settled yet have none"
        )


def _dicts(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches():
        yield from python_dicts(batch)


def _print_table(run: Path, choice: Choice, rows: ChosenRows, columns: Sequence[str]) -> None:
    found = list(_dicts(rows.table))
    if found:
        names = list(columns) or _columns_of(rows, found, is_failed=choice.is_failed)
        cells = [[value_text(name, row[name]) for name in names] for row in found]
        for line in table_lines(names, cells, shutil.get_terminal_size((_WIDTH, 0)).columns):
            click.echo(line)
    noun = "failed row" if choice.is_failed else "row"
    if rows.total is None:
        click.echo(counted(len(found), noun))
    elif rows.total:
        click.echo(f"{len(found):,} of {counted(rows.total, noun)}")
    elif choice.is_failed and rows.settled:
        click.echo("no row has failed")
    else:
        click.echo(f"no row is settled yet; see how far the run is: batchrun status {shlex.quote(str(run))}")


def _columns_of(rows: ChosenRows, found: Sequence[dict[str, Any]], *, is_failed: bool) -> list[str]:
    """Return the columns of a table for which none are named: what tells its rows apart, and their answers."""
    names: list[str] = rows.table.column_names
    typed = names[names.index("reasoning") + 1 : names.index("tool_calls")]
    chosen = ["row"]
    if any(each["custom_id"] != str(each["row"]) for each in found):
        chosen.append("custom_id")
    chosen += [
        name for name, is_needed in (("model", len(rows.models) > 1), ("sample", _differ(found, "sample"))) if is_needed
    ]
    if is_failed:
        return [*chosen, "error_kind", "error"]
    failed = ["error_kind"] if any(each["status"] == "failed" for each in found) else []
    prompt = ["prompt"] if isinstance(found[0].get("prompt"), str) else []
    evaluated = [name for name in _EVALUATED if name in names]
    has_text = not typed or any(each["response"] is not None and not _has_any(each, typed) for each in found)
    return [*chosen, "status", *failed, *evaluated, *prompt, *typed, *(["response"] if has_text else [])]


def _has_any(row: dict[str, Any], names: Sequence[str]) -> bool:
    return any(row[name] is not None for name in names)


def _differ(found: Sequence[dict[str, Any]], name: str) -> bool:
    return len({each[name] for each in found}) > 1


def _print_row(run: Path, row: int, rows: ChosenRows, columns: Sequence[str]) -> None:
    if not columns:
        for line in _sent_lines(run, row):
            click.echo(line)
    for number, each in enumerate(_dicts(rows.table)):
        if number or not columns:
            click.echo()
        for line in row_lines(each, columns or rows.table.column_names):
            click.echo(line)


def _sent_lines(run: Path, row: int) -> Iterator[str]:
    try:
        first = requests_of(run, row)[0]
    except BatchrunError as problem:
        _note(f"note: the request cannot be shown: {problem}")
        return
    if not first.is_same:
        _note(f"note: {_changed(row)}")
    yield from request_lines(first.request)


def _changed(row: int) -> str:
    return f"the input has changed since row {row} was answered; this is what the row asks now"


# Requests as commands.


def _print_requests(run: Path, choice: Choice, count: int, *, is_repair: bool) -> None:
    with Checkpoint(run) as checkpoint:
        job, is_simulated = stored_job(checkpoint), checkpoint.fact(facts.SIMULATED) is True
    found = _requests(run, choice, count)
    if is_repair:
        found = [each for each in found if each.repair is not None]
        if not found:
            raise JobError(f"{run}: none of these answers was refused by the schema, so there is nothing to repair")
    asked = [_as_asked(job, each, is_repair=is_repair) for each in found]
    endpoints = [endpoint for endpoint, _ in asked]
    for note in _notes(found, endpoints, is_simulated=is_simulated, is_repair=is_repair):
        _note(f"note: {note}")
    click.echo("\n\n".join(curl_command(endpoint, request) for endpoint, request in asked))


def _as_asked(job: Job, each: Rendered, *, is_repair: bool) -> tuple[Endpoint, Request]:
    request = (each.repair or each.request) if is_repair else each.request
    if each.outcome is None:
        return as_asked(job, request)
    return as_asked(job, as_asked_of(request, each.outcome.answered_by or request.model), each.outcome.endpoint)


def _requests(run: Path, choice: Choice, count: int) -> list[Rendered]:
    """Return the requests of a choice.

    Raises:
        JobError: there is none.
        InputError: the input does not have their rows any more.
    """
    if choice.row is None:
        rows = chosen_rows(run, choice._replace(was_sent=True), count)
        _check(run, choice, rows, ())
        wanted = [(each["row"], each["model"], each["sample"]) for each in _dicts(rows.table)]
    else:
        wanted = [(choice.row, choice.model, choice.sample)]
    by_row = {row: requests_of(run, row) for row, _, _ in wanted}
    found = [each for row, model, sample in wanted for each in by_row[row] if _is_of(each, model, sample)]
    if choice.is_failed:
        found = [each for each in found if each.outcome is not None and each.outcome.kind is not None]
    if not found:
        raise JobError(f"{run}: has no request of this choice; see its rows: batchrun show {shlex.quote(str(run))}")
    return found


def _is_of(each: Rendered, model: str | None, sample: int | None) -> bool:
    return model in (None, each.request.model) and sample in (None, each.request.sample)


def _notes(
    found: Sequence[Rendered], endpoints: Sequence[Endpoint], *, is_simulated: bool, is_repair: bool
) -> Iterator[str]:
    """Yield what a user should know before sending these requests."""
    for row in dict.fromkeys(each.request.row for each in found if not each.is_same):
        yield _changed(row)
    if is_simulated:
        urls = " or ".join(dict.fromkeys(endpoint.base_url for endpoint in endpoints))
        yield f"the simulator made these answers up; the command asks {urls}"
    for variable in dict.fromkeys(variable for endpoint in endpoints for variable in shown_variables(endpoint)):
        if not os.environ.get(variable):
            yield f"the command takes the key from the variable {variable}, which is not set here: export {variable}=…"
    if not is_repair and any(each.repair is not None for each in found):
        yield "the answer did not fit the schema; to see the request that asks again, add --repair"
    if len(found) > 1:
        yield f"these are {counted(len(found), 'request')}; to choose one, add --row N, -m NAME or --sample N"
