"""The reference tables of the documentation, generated from the code: `python tests/harness/reference.py` writes them.

Each is on a page between `<!-- begin: NAME -->` and `<!-- end -->`; nothing else on the page is changed.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from batchrun.answers.columns import CLASH_PREFIX as ANSWER_PREFIX
from batchrun.answers.data_columns import DOCS
from batchrun.cli import cli
from batchrun.cli.flags import FLAGS
from batchrun.endpoint.pool.verdicts import verdict_rows
from batchrun.job.sections import SECTIONS, Price
from batchrun.job.settings import Section, default_of, key_of
from batchrun.prompts.input.endings import ENDINGS
from batchrun.results.columns import (
    AFTER_ANSWER,
    BEFORE_ANSWER,
    BEFORE_INPUT,
    CLASH_PREFIX,
    EVALUATED,
    LOGPROBS,
    Column,
)
from batchrun.results.usage import USAGE_COLUMNS

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

NONE = "–"

EXIT_CODES = {
    0: ("all rows are completed", "nothing"),
    1: (
        "finished; some rows failed",
        "`batchrun show RUN --failed` shows why; `--retry-failed` sends these rows again",
    ),
    2: ("the job, a flag or the input is wrong, or no score means anything", "fix what the message names"),
    3: ("the run directory cannot be used or written", "make room, or use another `-o DIR`"),
    4: (
        "the endpoint refuses the job (key, project, region, model, URL, a parameter) or has never answered",
        "do what the message says, run again",
    ),
    5: ("stopped with work left: quota, cost cap, deadline, patience", "run the same command again to resume"),
    70: ("unexpected error", "report it with the file that the message names; run the same command again to resume"),
    130: ("interrupted by Ctrl-C; the requests in flight were kept", "run the same command again to resume"),
    143: ("interrupted by SIGTERM or a hang-up; the same", "run the same command again to resume"),
}
"""Exit code → what it means, what to do. The codes themselves are those of the errors; a test compares them."""

ENVIRONMENT = {
    "WANDB_API_KEY": "the key for W&B; else the password that `wandb login` left in `~/.netrc`, then `OPENAI_API_KEY`",
    "WANDB_ENTITY": "together with `WANDB_PROJECT`: where usage is booked, if neither a flag nor the job file names it",
    "WANDB_PROJECT": "see `WANDB_ENTITY`",
    "WANDB_MODE": "`offline`: what is published to W&B stays on this machine, for `wandb sync`",
    "WANDB_BASE_URL": "your own W&B server, to publish to; https, unless it is on this machine",
    "WANDB_CONFIG_DIR": "where `wandb login --host` noted that server, instead of `~/.config/wandb`",
    "OPENAI_API_KEY": "the key for all other endpoints; an endpoint on this machine needs none",
    "OPENAI_BASE_URL": 'the base URL, where neither a flag nor the job file names one, or `provider = "wandb"`',
    "HTTPS_PROXY": "proxy to reach the endpoint; `HTTP_PROXY` and `NO_PROXY` have their usual meaning too",
    "AZURE_STORAGE_ACCOUNT": "the storage account of `az://`; S3 and Google's store have the variables of their tools",
    "AZURE_STORAGE_KEY": "its key; without key and token, Azure's own login is used",
    "AZURE_STORAGE_SAS_TOKEN": "a token instead of the key",
    "AZURE_STORAGE_CONNECTION_STRING": "all of these in one, as Azure's portal shows it; it overrides the others",
    "WF_TRACE_SERVER_URL": "the server of Weave's traces, if it is not W&B's own; https, unless it is on this machine",
    "HF_TOKEN": "the token for `hf://`; without it, the one of `hf auth login`",
    "HF_HUB_CACHE": "folder where tokenizers are looked for; without it, `hub` in `HF_HOME`",
    "HF_HOME": "folder of the Hugging Face libraries; without it, `huggingface` in `XDG_CACHE_HOME` or `~/.cache`",
    "XDG_CACHE_HOME": "see `HF_HOME`",
    "_BATCHRUN_COMPLETE": "`bash_source`, `zsh_source` or `fish_source`: prints the completion script of the shell",
}
"""Environment variable → what it is for. A test looks for others in the code."""


def updated(page: str) -> str:
    """Return a page with all its tables as the code has them now."""
    return re.sub(
        r"<!-- begin: (\w+) -->\n.*?<!-- end -->",
        lambda found: f"<!-- begin: {found[1]} -->\n\n{PARTS[found[1]]()}\n\n<!-- end -->",
        page,
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
    return "\n\n".join(
        f"{(kind.__doc__ or '').partition(chr(10))[0]}\n\n{_section(name, kind)}" for name, kind in kinds
    )


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
    """Return the table of commands."""
    rows = []
    for name in cli.list_commands(click.Context(cli)):
        command = command_of(name)
        arguments = [param.make_metavar(click.Context(command)) for param in command.params if _is_argument(param)]
        does = (command.help or "").split("\n\n")[0].replace("\n", " ")
        rows.append((code(" ".join(["batchrun", name, *arguments])), does))
    return table(("command", "does"), rows)


def command_of(name: str) -> click.Command:
    """Return one command of the command line."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, name
    return command


def _is_argument(param: click.Parameter) -> bool:
    return isinstance(param, click.Argument)


def flags() -> str:
    """Return the table of those flags of `run` that are not settings of the job file."""
    return _flag_table(command_of("run"))


def other_flags() -> str:
    """Return one table for each other command that has its own flags, except the simulator."""
    tables = []
    for name in cli.list_commands(click.Context(cli)):
        command = command_of(name)
        if name not in ("run", "simulate") and _own_flags(command):
            tables.append(f"{code(name)}:\n\n{_flag_table(command)}")
    return "\n\n".join(tables)


def simulate() -> str:
    """Return the table of the simulator's flags."""
    return _flag_table(command_of("simulate"))


def _flag_table(command: click.Command) -> str:
    own = _own_flags(command)
    rows = [(_flag_names([*each.opts, *each.secondary_opts]), " ".join((each.help or "").split())) for each in own]
    return table(("flag", "meaning"), rows)


def _own_flags(command: click.Command) -> list[click.Option]:
    """Return the flags of a command; of those that take a job, the ones that the job file has no setting for."""
    of_settings = {flag.parameter for flag in FLAGS} if command.name in ("run", "check") else set()
    options = [each for each in command.params if isinstance(each, click.Option)]
    return [each for each in options if each.name not in of_settings]


def columns() -> str:
    """Return the table of the columns of results.parquet."""
    inputs = ("…", "as in the input", f"the input's columns (`--keep`); a clash gets the prefix `{CLASH_PREFIX}`")
    its_prefix = f"a clash gets the prefix `{ANSWER_PREFIX}`"
    typed = ("…", "by the schema", f"one for each property of `[response]` `schema`; {its_prefix}")
    after = _columns((*AFTER_ANSWER[:-1], LOGPROBS, AFTER_ANSWER[-1], *EVALUATED))
    data = _columns(Column(name, *described) for name, described in DOCS.items())
    rows = [*_columns(BEFORE_INPUT), inputs, *_columns(BEFORE_ANSWER), typed, *data, *after]
    return table(("column", "type", "meaning"), rows)


def usage() -> str:
    """Return the table of the columns of usage.parquet."""
    return table(("column", "type", "meaning"), _columns(USAGE_COLUMNS))


def _columns(declared: Iterable[Column]) -> list[tuple[str, str, str]]:
    return [(code(column.name), str(column.type), column.doc) for column in declared]


def verdicts() -> str:
    """Return the verdict table: what each kind means for row, limit and run, and whether a fallback is asked."""
    rows = [(code(kind), *cells) for kind, *cells in verdict_rows()]
    return table(("kind", "when", "row", "limit", "run", "fallback"), rows)


def exits() -> str:
    """Return the table of exit codes."""
    return table(("code", "means", "what to do"), [(str(number), *texts) for number, texts in EXIT_CODES.items()])


def environment() -> str:
    """Return the table of environment variables."""
    return table(("variable", "what it is for"), [(code(name), text) for name, text in ENVIRONMENT.items()])


def endings() -> str:
    """Return the file endings that are read."""
    return ", ".join(map(code, ENDINGS)) + "."


def layout() -> str:
    """Return the table of the package's parts, in the order of the import contract, by their own first sentence."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    return table(("where", "what"), [_part(name) for layer in layers for name in re.split(r"\s*[|:]\s*", layer)])


def _part(name: str) -> tuple[str, str]:
    folder = ROOT / "batchrun" / name
    source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    sentence = (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return code(f"{name}/" if folder.is_dir() else source.name), sentence.replace("\n", " ")


_MAKERS = (
    commands,
    settings,
    flags,
    other_flags,
    simulate,
    columns,
    usage,
    verdicts,
    exits,
    environment,
    endings,
    layout,
)

PARTS: dict[str, Callable[[], str]] = {each.__name__: each for each in _MAKERS}
"""Name on the pages → what makes it."""


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    from harness import keywords

    if keywords.PATH.read_text(encoding="utf-8") != keywords.text():
        keywords.PATH.write_text(keywords.text(), encoding="utf-8")
        sys.stdout.write(f"{keywords.PATH.relative_to(ROOT)}: updated\n")
    for path in PAGES:
        before = path.read_text(encoding="utf-8")
        after = updated(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}: updated\n")
