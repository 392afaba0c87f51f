"""`batchrun init`."""

import shlex
from itertools import count
from pathlib import Path

import click

from batchrun.errors import JobError
from batchrun.job.file import STDIN, name_for
from batchrun.prompts.draft import draft


@click.command("init")
@click.argument("file")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="JOB.toml", help="The job file; NAME.toml unless given."
)
def init_command(file: str, out: Path | None) -> None:
    """Write a commented job file from the columns of an input: a file, a folder, a glob or a URL.

    It can be checked and tried as it is. Nothing is sent, and no file is replaced.

    \b
    batchrun init reviews.jsonl
    batchrun init data/articles.parquet -o jobs/articles.toml
    """
    if file == STDIN:
        raise JobError("-: standard input can be read only once; name a file")
    path = out or Path(f"{name_for(file)}.toml")
    if path.suffix != ".toml":
        raise JobError(f"--out {path}: a job file ends in .toml: -o {_quoted(path.with_suffix('.toml'))}")
    text = draft(file, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as job:
            job.write(text)
    except FileExistsError as problem:
        raise JobError(f"{path}: exists and stays as it is; name another file: -o {_quoted(_free(path))}") from problem
    except OSError as problem:
        raise JobError(f"{path}: cannot be written: {problem.strerror}") from problem
    click.echo(f"{path}: written; edit it, then see what it costs: batchrun check {_quoted(path)}", err=True)


def _free(path: Path) -> Path:
    """Return a name next to a path that no file has."""
    names = (path.with_stem(f"{path.stem}_{number}") for number in count(2))
    return next(name for name in names if not name.exists())


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
