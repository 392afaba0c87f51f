"""The README's reference tables, made from the code: `python tests/harness/reference.py` writes them anew.

Each stands in the README between `<!-- begin: NAME -->` and `<!-- end -->`; nothing else of it is touched.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from batchrun.answers.columns import CLASH_PREFIX as ANSWER_PREFIX
from batchrun.cli import cli
from batchrun.cli.flags import FLAGS
from batchrun.endpoint.pool.verdicts import EFFECTS, ROW_KINDS
from batchrun.job.sections import SECTIONS, Price
from batchrun.job.settings import Section, default_of, key_of
from batchrun.prompts.input.endings import ENDINGS
from batchrun.results.columns import AFTER_ANSWER, BEFORE_ANSWER, BEFORE_INPUT, CLASH_PREFIX, SCORE, Column
from batchrun.results.usage import USAGE_COLUMNS

README = Path(__file__).parents[2] / "README.md"

NONE = "–"

EXIT_CODES = {
    0: ("every row is completed", "nothing"),
    1: ("finished; some rows failed", "look at `error_kind` and `error`; `--retry-failed` sends these rows again"),
    2: ("the job, a flag or the input is wrong", "mend what the message names"),
    3: ("the run directory cannot be used or written", "make room, or use another `-o DIR`"),
    4: ("the endpoint refuses the job: key, project, region or model", "do what the message says, run again"),
    5: ("stopped with work left: quota, cost cap, deadline, patience", "run the same command again, when it may go on"),
    70: (
        "an error that nobody has foreseen",
        "report it, with the file that the message names; run the same command again",
    ),
    130: ("interrupted by Ctrl-C; what was in flight is kept", "run the same command again"),
    143: ("interrupted by SIGTERM or a hang-up; what was in flight is kept", "run the same command again"),
}
"""Exit code → what it means, what to do. The codes themselves are the errors' own; a test compares."""

ENVIRONMENT = {
    "WANDB_API_KEY": "the key for W&B; else the password that `wandb login` left in `~/.netrc`",
    "WANDB_ENTITY": "with the next: the team and project to book on, where neither flag nor job file names them",
    "WANDB_PROJECT": "see above",
    "WANDB_MODE": "`offline`: what is published to W&B stays on this machine, for `wandb sync`",
    "WANDB_BASE_URL": (
        "where W&B is to publish to, for those with a server of their own; https, unless it is on this machine"
    ),
    "WANDB_CONFIG_DIR": "where `wandb login --host` has noted that, instead of `~/.config/wandb`",
    "OPENAI_API_KEY": "the key for every other endpoint; an endpoint on this machine needs none",
    "HTTPS_PROXY": "proxy to reach the endpoint by, as everywhere; so are `HTTP_PROXY` and `NO_PROXY`",
    "AZURE_STORAGE_ACCOUNT": "the storage account of `az://`; S3 and Google's store read their own tools' variables",
    "AZURE_STORAGE_KEY": "its key; without it and the next, whoever Azure's own login says",
    "AZURE_STORAGE_SAS_TOKEN": "a token instead of the key",
    "AZURE_STORAGE_CONNECTION_STRING": "all of it in one, as Azure's portal shows it; goes before the others",
    "HF_HOME": "where tokenizers are looked for, else in `XDG_CACHE_HOME` or `~/.cache`",
    "XDG_CACHE_HOME": "see above",
    "_BATCHRUN_COMPLETE": "`bash_source`, `zsh_source` or `fish_source`: prints the shell's completion script",
}
"""Environment variable → what it is for. A test looks for others in the code."""


def updated(readme: str) -> str:
    """Return the README with every table written anew."""
    return re.sub(
        r"<!-- begin: (\w+) -->\n.*?<!-- end -->",
        lambda found: f"<!-- begin: {found[1]} -->\n\n{PARTS[found[1]]()}\n\n<!-- end -->",
        readme,
        flags=re.DOTALL,
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    """Return a text as inline code."""
    return f"`{text}`"


def settings() -> str:
    """Return one table for each section of the job file."""
    kinds = [(name, SECTIONS[name]) for name in SECTIONS] + [("prices", Price)]
    return "\n\n".join(f"{kind.__doc__}\n\n{_section(name, kind)}" for name, kind in kinds)


def _section(name: str, kind: type[Section]) -> str:
    flags = {(flag.section, flag.key): flag.names for flag in FLAGS}
    head = ("key", "default", "meaning") if name == "prices" else ("key", "flag", "default", "meaning")
    rows = []
    for each in fields(kind):  # type: ignore[arg-type]  # every section is a dataclass
        key = key_of(each)
        flag = _flag_names(flags[name, key]) if (name, key) in flags else NONE
        row = (code(key), flag, _default(each), each.metadata["doc"])
        rows.append(row if "flag" in head else (row[0], *row[2:]))
    return table(head, rows)


def _flag_names(names: Iterable[str]) -> str:
    return " ".join(code(each) for name in names for each in name.split("/"))


def _default(each: "Field[Any]") -> str:
    value, shown = default_of(each), each.metadata["shown"]
    if shown is not None:
        return str(shown)
    if value is None or value in ("", ()):
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,g}" if isinstance(value, float) else str(value)


def commands() -> str:
    """Return the table of commands, with the flags of the small ones."""
    rows = []
    for name in cli.list_commands(click.Context(cli)):
        command = command_of(name)
        arguments = [param.make_metavar(click.Context(command)) for param in command.params if _is_argument(param)]
        does = (command.help or "").split("\n\n")[0].replace("\n", " ")
        flags = {
            "run": "see below",
            "check": "those of a job, see below; `--probe` `--simulate` `--json`",
            "simulate": "see `batchrun simulate --help`",
        }.get(name) or _options(command)
        rows.append((code(" ".join(["batchrun", name, *arguments])), does, flags))
    return table(("command", "does", "flags"), rows)


def command_of(name: str) -> click.Command:
    """Return one command of the command line."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, name
    return command


def _is_argument(param: click.Parameter) -> bool:
    return isinstance(param, click.Argument)


def _options(command: click.Command) -> str:
    names = [_flag_names(param.opts[-1:]) for param in command.params if not _is_argument(param)]
    return " ".join(names) or NONE


def flags() -> str:
    """Return the table of those flags of `run` that are no settings of the job file."""
    of_settings = {flag.parameter for flag in FLAGS}
    params = [each for each in command_of("run").params if isinstance(each, click.Option)]
    return table(
        ("flag", "meaning"),
        [(_flag_names(each.opts), each.help or "") for each in params if each.name not in of_settings],
    )


def columns() -> str:
    """Return the table of the columns of results.parquet."""
    inputs = ("…", "as in the input", f"the input's columns (`--keep`); a clash gets the prefix `{CLASH_PREFIX}`")
    its_prefix = f"a clash gets the prefix `{ANSWER_PREFIX}`"
    typed = ("…", "by the schema", f"one for each property of `[response]` `schema`; {its_prefix}")
    after = _columns((*AFTER_ANSWER, SCORE))
    rows = [*_columns(BEFORE_INPUT), inputs, *_columns(BEFORE_ANSWER), typed, *after]
    return table(("column", "type", "meaning"), rows)


def usage() -> str:
    """Return the table of the columns of usage.parquet."""
    return table(("column", "type", "meaning"), _columns(USAGE_COLUMNS))


def _columns(declared: Iterable[Column]) -> list[tuple[str, str, str]]:
    return [(code(column.name), str(column.type), column.doc) for column in declared]


def verdicts() -> str:
    """Return the verdict table: every kind of failure, and what becomes of row, limit and run."""
    rows = [(code(kind), each.when, each.row, each.limit, each.run) for kind, each in EFFECTS.items()]
    rows += [(code(kind), when, "failed", NONE, "goes on") for kind, when in ROW_KINDS.items()]
    return table(("kind", "when", "row", "limit", "run"), rows)


def exits() -> str:
    """Return the table of exit codes."""
    return table(("code", "means", "what to do"), [(str(number), *texts) for number, texts in EXIT_CODES.items()])


def environment() -> str:
    """Return the table of environment variables."""
    return table(("variable", "what it is for"), [(code(name), text) for name, text in ENVIRONMENT.items()])


def endings() -> str:
    """Return the file endings that are read."""
    return ", ".join(map(code, ENDINGS)) + "."


PARTS: dict[str, Callable[[], str]] = {
    each.__name__: each for each in (settings, commands, flags, columns, usage, verdicts, exits, environment, endings)
}
"""Name in the README → what makes it."""


if __name__ == "__main__":
    before = README.read_text(encoding="utf-8")
    after = updated(before)
    README.write_text(after, encoding="utf-8")
    sys.stdout.write(f"{README.name}: {'written anew' if after != before else 'is as it should be'}\n")
