"""`batchrun export`."""

import asyncio
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from batchrun.answers.schema import AnswerSchema
from batchrun.answers.scores.scorers import NamedFunction
from batchrun.checkpoint.salvage.rescue import Salvaged, recover
from batchrun.checkpoint.salvage.swap import kept_name
from batchrun.checkpoint.salvage.totals import Lost
from batchrun.cli.memory import keep_buffers
from batchrun.cli.scorer import scorer_option
from batchrun.cli.texts import evaluation_lines
from batchrun.engine.threads import in_thread
from batchrun.errors import JobError
from batchrun.job.schema_form import stated_schema
from batchrun.publish.card import write_card
from batchrun.publish.upload import check_export, stored_upload, upload_results
from batchrun.report.texts import counted
from batchrun.results.answer_counts import answer_lines
from batchrun.results.export import Exported
from batchrun.results.refresh import rebuild
from batchrun.results.run_directory import CARD, RESULTS
from batchrun.results.view import FORMATS, View
from batchrun.storage.urls import shown

_NO_SCHEMA = "none"

_AGAIN = f"{__name__}.again"


class _Export(click.Command):
    """Keeps its own command line, so that a message can show how to run it again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> Any:
        """Parse the arguments."""
        ctx.meta[_AGAIN] = shlex.join(["batchrun", "export", *args])
        return super().parse_args(ctx, args)


@click.command("export", cls=_Export)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="parquet",
    help="parquet, jsonl, csv, or openai: the two files that OpenAI's Batch API returns.",
)
@click.option("--wide", is_flag=True, help="One row per prompt, with a column for each model and sample.")
@click.option(
    "--schema",
    metavar="FILE",
    help="Read the answers by another JSON Schema; none: by no schema. Answers that do not fit become failed rows.",
)
@scorer_option
@click.option("--card", is_flag=True, help="Also write README.md, a dataset card for the Hugging Face Hub.")
@click.option("--upload", metavar="URL", help="Upload the results to this folder instead of the one in the job.")
@click.option(
    "--salvage", is_flag=True, help="First recover a damaged checkpoint as far as possible; the old file is kept."
)
def export_command(
    run: Path,
    format_: str,
    wide: bool,
    schema: str | None,
    scorer: NamedFunction | None,
    card: bool,
    upload: str | None,
    salvage: bool,
) -> None:
    """Rebuild the results from the checkpoint, in any format. Nothing is sent, so it costs nothing.

    Also works while the job runs; then it writes what is settled so far. Without --format and --wide it replaces
    results.parquet and usage.parquet; with them it writes other files next to these: results.csv,
    results.wide.parquet and so on.

    \b
    batchrun export runs/label_reviews
    batchrun export runs/label_reviews --schema label.v2.json
    batchrun export runs/eval_math --wide --format csv
    batchrun export runs/label_reviews --card --upload hf://datasets/USER/NAME
    batchrun export runs/label_reviews --salvage
    """
    if wide and format_ == "openai":
        raise click.UsageError("--wide and --format openai exclude each other: that format has one line per answer")
    view = View(
        format=format_,
        is_wide=wide,
        schema=None if schema in (None, _NO_SCHEMA) else _schema(Path(schema)),
        is_schemaless=schema == _NO_SCHEMA,
        scorer=scorer,
    )
    keep_buffers()
    if salvage:
        salvaged = recover(run, made_from_it=[RESULTS])
        for line in ["the checkpoint is sound: nothing to salvage"] if salvaged is None else _salvage_lines(salvaged):
            click.echo(f"note: {line}", err=True)
    names = [*view.names, *([CARD] if card else [])]
    if upload is not None:
        check_export(run, upload, names)
    exported = rebuild(run, view)
    _print_exported(exported)
    if card:
        click.echo(write_card(run), err=True)
    if (url := upload or stored_upload(run)) is not None:
        again = click.get_current_context().meta[_AGAIN]
        asyncio.run(in_thread(lambda: upload_results(run, url, names, again=again)))
        click.echo(f"uploaded to {shown(url)}", err=True)
    if exported.problem is not None:
        raise JobError(exported.problem)


def _print_exported(exported: Exported) -> None:
    for notice in exported.notices:
        click.echo(f"note: {notice}", err=True)
    evaluated = evaluation_lines(exported.scores, exported.agreement)
    for line in [*evaluated, *answer_lines(exported.answers), *map(str, exported.paths)]:
        click.echo(line, err=True)


def _schema(path: Path) -> AnswerSchema:
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise JobError(f"--schema {path}: cannot be read: {problem.strerror}") from problem
    except ValueError as problem:
        raise JobError(f"--schema {path}: is not JSON: {problem}") from problem
    try:
        return AnswerSchema(stated_schema(schema).schema if isinstance(schema, dict) else schema)
    except JobError as problem:
        raise JobError(f"--schema {path}: {str(problem).removeprefix('response.schema: ')}") from problem


def _salvage_lines(salvaged: Salvaged) -> Iterator[str]:
    of = "; how many there were is not known" if salvaged.expected is None else f" of {salvaged.expected:,}"
    yield f"{counted(salvaged.rows, 'settled row')} recovered{of}"
    if salvaged.retired:
        yield f"also kept, and used if the job asks for it: {counted(salvaged.retired, 'more answer')}"
    yield _lost_text(salvaged.lost)
    yield from salvaged.notices
    if (results := kept_name(salvaged.kept, RESULTS)).exists():
        is_all_there = salvaged.lost == Lost(0, is_exact=True)
        more = "" if is_all_there else ": they may contain answers that could not be recovered"
        yield f"the earlier results are kept as {results}{more}"
    yield f"the damaged checkpoint is kept as {salvaged.kept}"


def _lost_text(lost: Lost | None) -> str:
    again = "they are sent, and paid for, again only when you run the job again"
    if lost is None:
        return f"how many rows are lost is not known; {again}"
    if not lost.rows:
        return "no settled row is lost" if lost.is_exact else "no row is missing before the last that was recovered"
    if lost.rows == 1:
        again = again.replace("they are", "it is")
    return f"{'' if lost.is_exact else 'up to '}{counted(lost.rows, 'settled row')} lost; {again}"
