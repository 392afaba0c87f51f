"""The flags of `run`: each overrides one setting of the job file and takes its help text from that setting."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from batchrun.errors import JobError
from batchrun.job.file import Overrides
from batchrun.job.sections import SECTIONS
from batchrun.job.settings import key_of

F = TypeVar("F", bound=Callable[..., Any])


class Flag(NamedTuple):
    """One flag: its names, and the setting that it overrides."""

    group: str
    names: tuple[str, ...]
    section: str
    key: str
    kind: Any = str
    metavar: str | None = None
    several: str = ""
    """How a list is given: `repeat` the flag, or separate by `comma`; `pairs`: KEY=VALUE. Empty: not a list."""
    may_be_file: bool = False
    """Whether `@FILE` stands for the text of a file."""
    value: str | None = None
    """Of a flag that takes no value: what it sets."""
    doc: str = ""
    """Its help, where that of the setting would not do."""

    @property
    def parameter(self) -> str:
        """The name of the parameter that click passes the value in."""
        return self.names[-1].split("/")[0].lstrip("-").replace("-", "_")


_INPUT, _PROMPT, _MODEL, _ENDPOINT, _LIMITS, _OUTPUT = "Input", "Prompt", "Model", "Endpoint", "Limits", "Output"
ANSWERS = "Answers"
_ENGINE, _PUBLISH = "Engine", "Publish"

_FALLBACK = "model that is asked, once, for a row that the model fails for the row's own reason"

FLAGS: tuple[Flag, ...] = (
    Flag(_INPUT, ("--id",), "input", "id", metavar="COLUMN"),
    Flag(_INPUT, ("--encoding",), "input", "encoding", metavar="NAME"),
    Flag(_INPUT, ("--where",), "input", "where", metavar="CONDITION"),
    Flag(_INPUT, ("--sample",), "input", "sample", int, "N"),
    Flag(_INPUT, ("--sample-seed",), "input", "sample_seed", int, "N"),
    Flag(_INPUT, ("--shuffle",), "input", "order", value="random", doc="send the rows in a random order"),
    Flag(_INPUT, ("--limit",), "input", "limit", int, "N"),
    Flag(_INPUT, ("--include-failed/--no-include-failed",), "input", "include_failed", bool),
    Flag(_INPUT, ("--strict/--no-strict",), "input", "strict", bool),
    Flag(_INPUT, ("--dedupe/--no-dedupe",), "input", "dedupe", bool),
    Flag(_INPUT, ("--reuse",), "input", "reuse", metavar="RUN", several="repeat"),
    Flag(_PROMPT, ("-s", "--system"), "prompt", "system", metavar="TEXT", may_be_file=True),
    Flag(_PROMPT, ("-t", "--template"), "prompt", "user", metavar="TEXT", may_be_file=True),
    Flag(_PROMPT, ("--images",), "prompt", "images", metavar="COLUMN"),
    Flag(_PROMPT, ("--files",), "prompt", "files", metavar="COLUMN"),
    Flag(_MODEL, ("-m", "--model"), "model", "names", metavar="NAME", several="repeat"),
    Flag(_MODEL, ("--kind",), "model", "kind", metavar="KIND"),
    Flag(_MODEL, ("--fallback",), "model", "fallback", metavar="MODEL", doc=_FALLBACK),
    Flag(_MODEL, ("--temperature",), "model", "temperature", float, "X"),
    Flag(_MODEL, ("--max-tokens",), "model", "max_tokens", int, "N"),
    Flag(_MODEL, ("--top-p",), "model", "top_p", float, "X"),
    Flag(_MODEL, ("--seed",), "model", "seed", int, "N"),
    Flag(_MODEL, ("--stop",), "model", "stop", metavar="TEXT", several="repeat"),
    Flag(_MODEL, ("--num-samples",), "model", "num_samples", int, "N"),
    Flag(_MODEL, ("--samples-per-request",), "model", "samples_per_request", int, "N"),
    Flag(_MODEL, ("--rows-per-request",), "model", "rows_per_request", int, "N"),
    Flag(_MODEL, ("--stream/--no-stream",), "model", "stream", bool),
    Flag(
        _MODEL,
        ("--param",),
        "model",
        "extra_body",
        metavar="KEY=VALUE",
        several="pairs",
        doc="any other parameter of the request, as JSON or text, such as top_k=20",
    ),
    Flag(ANSWERS, ("--schema",), "response", "schema", metavar="FILE", doc="file with the JSON Schema of the answers"),
    Flag(ANSWERS, ("--target",), "evaluate", "target", metavar="COLUMN"),
    Flag(ANSWERS, ("--pattern",), "evaluate", "pattern", metavar="REGEX"),
    Flag(ANSWERS, ("--field",), "evaluate", "field", metavar="PROPERTY"),
    Flag(_ENDPOINT, ("--base-url",), "endpoint", "base_url", metavar="URL", several="repeat"),
    Flag(_ENDPOINT, ("--project",), "endpoint", "project", metavar="TEAM/PROJECT"),
    Flag(_ENDPOINT, ("--api-key-env",), "endpoint", "api_key_env", metavar="NAME"),
    Flag(_ENDPOINT, ("--via",), "endpoint", "via", metavar="WAY"),
    Flag(_ENDPOINT, ("--batch-requests",), "endpoint", "batch_requests", int, "N"),
    Flag(_ENDPOINT, ("--allow-http/--no-allow-http",), "endpoint", "allow_http", bool),
    Flag(_LIMITS, ("-c", "--max-concurrency"), "limits", "max_concurrency", int, "N"),
    Flag(_LIMITS, ("--requests-per-minute",), "limits", "requests_per_minute", int, "N"),
    Flag(_LIMITS, ("--tokens-per-minute",), "limits", "tokens_per_minute", int, "N"),
    Flag(_LIMITS, ("--max-attempts",), "limits", "max_attempts", int, "N"),
    Flag(_LIMITS, ("--timeout-s",), "limits", "timeout_s", float, "S"),
    Flag(_LIMITS, ("--max-cost",), "limits", "max_cost_usd", float, "USD"),
    Flag(_LIMITS, ("--max-tokens-total",), "limits", "max_tokens_total", int, "N"),
    Flag(_LIMITS, ("--stop-at",), "limits", "stop_at", metavar="HH:MM"),
    Flag(_LIMITS, ("--rest-by",), "limits", "rest_by", metavar="HH:MM"),
    Flag(_LIMITS, ("--max-duration",), "limits", "max_duration", metavar="8h"),
    Flag(_LIMITS, ("--patience",), "limits", "patience", metavar="12h"),
    Flag(_ENGINE, ("--engine",), "engine", "kind", metavar="KIND"),
    Flag(_ENGINE, ("--ray-address",), "engine", "address", metavar="HOST:PORT"),
    Flag(_ENGINE, ("--workers",), "engine", "workers", int, "N"),
    Flag(_OUTPUT, ("-o", "--out"), "output", "dir", metavar="DIR"),
    Flag(_OUTPUT, ("--keep",), "output", "keep", metavar="COLUMNS", several="comma"),
    Flag(_OUTPUT, ("--upload",), "output", "upload", metavar="URL"),
    Flag(_PUBLISH, ("--weave",), "publish", "weave", metavar="TEAM/PROJECT"),
    Flag(_PUBLISH, ("--wandb",), "publish", "wandb", metavar="TEAM/PROJECT"),
)


def job_flags(*groups: str) -> Callable[[F], F]:
    """Return a decorator that adds the flags of these groups to a command; all flags without groups."""

    def decorate(command: F) -> F:
        for flag in reversed(FLAGS):
            if not groups or flag.group in groups:
                command = _option(flag)(command)
        return command

    return decorate


def overrides_of(values: dict[str, Any]) -> Overrides:
    """Return the settings that the given flags override.

    Raises:
        JobError: a file that a flag names cannot be read.
    """
    overrides: dict[tuple[str, str], tuple[str, Any]] = {}
    for flag in FLAGS:
        value = values.get(flag.parameter)
        if value is None or value == ():
            continue
        if flag.several == "pairs":
            overrides |= _parameters(value)
            continue
        if flag.several == "comma":
            value = [name.strip() for name in value.split(",")]
        elif flag.several == "repeat":
            value = list(value)
        elif flag.may_be_file and value.startswith("@"):
            value = value[1:] if value.startswith("@@") else _text_of(value[1:], flag)
        overrides[flag.section, flag.key] = (flag.names[-1].split("/")[0], value)
    return overrides


def _parameters(pairs: Iterable[str]) -> Overrides:
    """Return the parameters of `--param`: JSON where it is JSON, else the text itself.

    Raises:
        JobError: one has no `=`, or is given twice.
    """
    found: dict[tuple[str, str], tuple[str, Any]] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise JobError(f"--param {pair}: must be KEY=VALUE, such as top_k=20")
        if ("model", key) in found:
            raise JobError(f"--param {key}: is given twice; keep one of them")
        value: Any = text
        with suppress(ValueError):
            value = json.loads(text)
        found["model", key] = (f"--param {key}", value)
    return found


def _text_of(path: str, flag: Flag) -> str:
    """Return the text of a file without the end of its last line, which editors add."""
    where = f"{flag.names[0]} @{path}"
    try:
        text = Path(path).read_text(encoding="utf-8-sig").removesuffix("\n")
    except OSError as problem:
        cure = "" if path else "; name a file after the @"
        raise JobError(
            f"{where}: cannot be read: {problem.strerror}{cure}; a text that begins with @ is written @@"
        ) from problem
    except UnicodeDecodeError as problem:
        raise JobError(f"{where}: is not UTF-8 (byte {problem.start + 1}); write it as UTF-8") from problem
    if not text:
        raise JobError(f"{where}: the file is empty")
    return text


def _option(flag: Flag) -> Callable[[F], F]:
    return click.option(
        *flag.names,
        flag.parameter,
        cls=GroupedOption,
        group=flag.group,
        type=None if flag.kind is bool else flag.kind,
        default=None,
        metavar=flag.metavar,
        multiple=flag.several in ("repeat", "pairs"),
        help=_help(flag),
        **({} if flag.value is None else {"flag_value": flag.value}),
    )


def _help(flag: Flag) -> str:
    field = next(each for each in fields(SECTIONS[flag.section]) if key_of(each) == flag.key)  # type: ignore[arg-type]
    doc = flag.doc or str(field.metadata["doc"])
    more = "; repeat the flag for more"
    how = {"repeat": more, "pairs": more, "comma": "; separated by commas"}.get(flag.several, "")
    how += "; @FILE reads it from a file" if flag.may_be_file else ""
    return doc[0].upper() + doc[1:] + how + "."


class GroupedOption(click.Option):
    """An option that is listed under a heading in the help."""

    def __init__(self, *arguments: Any, group: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, in the order of declaration."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "group", "Run"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)
