"""The command line of the simulator; its options come from the table of settings, its help also lists the faults."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from dataclasses import Field, fields, replace
from typing import Any

import click
import orjson

from batchrun.simulator.faults import FAULTS
from batchrun.simulator.markers import EXAMPLES, GRAMMAR
from batchrun.simulator.server import Simulator, serve
from batchrun.simulator.settings import KINDS, Settings

_DEFAULTS = Settings()
_GROUPS = {item.name: item.metadata["group"] for item in fields(Settings)}

_INTRODUCTION = """Run an OpenAI-compatible endpoint with W&B Inference's limits and errors.

It answers every prompt with made-up text, counts every request, and costs nothing. Stop it with Ctrl-C.

\b
  batchrun simulate                                        50 in flight, 0.3 s per answer
  batchrun simulate --concurrency-limit 5 --latency-s 0.1
  batchrun simulate --error 503=0.05 --error cut=0.01 --retry-after 503=2
  batchrun simulate --port 0 --json                        any free port, printed on stdout
"""

_WHILE_IT_RUNS = (
    ("GET /stats", "requests, answers, tokens billed, in flight; these three paths need no key"),
    ("GET /stats/requests", "for each request, how often it was answered, and how many of those answers were lost"),
    ("POST /control", 'change settings: {"concurrency_limit": 5, "error_shares": {"503": 1}}'),
)


class _GroupedCommand(click.Command):
    """A command whose help groups its options as the settings are grouped, and then lists the faults."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            groups.setdefault(_GROUPS.get(param.name or "", "Start"), []).extend(
                filter(None, [param.get_help_record(ctx)])
            )
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)
        with formatter.section("While it runs"):
            formatter.write_dl(_WHILE_IT_RUNS)
        with formatter.section(f"Markers in user messages, {GRAMMAR}"):
            formatter.write_dl(EXAMPLES)
        with formatter.section("Faults, for --error FAULT=SHARE and for markers"):
            formatter.write_dl([(fault.name, fault.doc) for fault in FAULTS.values()])


def _option(item: Field[Any]) -> click.Option:
    """Return the option for a setting; if it is not given, its value is None and the default of the setting holds."""
    kind, default = item.metadata["kind"], getattr(_DEFAULTS, item.name)
    name = (item.metadata["option"] or item.name).replace("_", "-")
    text = item.metadata["doc"] + ("; repeatable" if kind.repeats else "")
    if isinstance(default, bool):
        shown = "yes" if default else "no"
        return click.Option([item.name, f"--{name}/--no-{name}"], default=None, help=f"{text}  [default: {shown}]")
    if default not in (None, (), {}):
        shown = item.metadata["shown"] or (", ".join(default) if kind.repeats else default)
        text += f"  [default: {shown}]"
    return click.Option(
        [item.name, f"--{name}"],
        multiple=kind.repeats,
        type=click.Choice(kind.choices) if kind.choices else str,
        metavar=None if kind.choices else kind.metavar,
        callback=_parsed,
        help=text,
    )


def _parsed(_ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if value is None or value == ():
        return None
    try:
        return KINDS[param.name or ""].parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _simulate(host: str, port: int, as_json: bool, **given: Any) -> None:
    """Run the simulator until a signal stops it."""
    settings = replace(_DEFAULTS, **{name: value for name, value in given.items() if value is not None})
    _allow_many_sockets()
    try:
        _run(_serve_until_stopped(settings, host, port, as_json=as_json))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


async def _serve_until_stopped(settings: Settings, host: str, port: int, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with serve(settings, host=host, port=port) as simulator:
        _announce(simulator, as_json=as_json)
        await stop.wait()


def _announce(simulator: Simulator, *, as_json: bool) -> None:
    if as_json:
        line = {"base_url": simulator.base_url, "port": simulator.port, "pid": os.getpid()}
        click.echo(orjson.dumps(line).decode())
    prompt = """echo '{"prompt": "Hello"}'"""
    key = "KEY" if simulator.settings.keys else "any"  # an accepted key is not printed
    model = next(iter(simulator.settings.models), "any")
    example = f"OPENAI_API_KEY={key} batchrun run - -m {model} -o out --base-url {simulator.base_url}"
    click.echo(f"Simulating on {simulator.base_url}; try: {prompt} | {example}", err=True)


def _run(main: Coroutine[Any, Any, None]) -> None:
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


def _allow_many_sockets() -> None:
    """Raise the limit of open files, by default 256 or 1,024, to the most that needs no privileges."""
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


simulate = _GroupedCommand(
    "simulate",
    callback=_simulate,
    help=_INTRODUCTION,
    short_help="Run a simulated endpoint.",
    params=[
        click.Option(["--host"], default="127.0.0.1", show_default=True, help="address to listen on"),
        click.Option(
            ["--port"],
            type=click.IntRange(0, 65535),
            default=8000,
            show_default=True,
            help="port to listen on; 0: any free port",
        ),
        click.Option(
            ["as_json", "--json"], is_flag=True, help="print base_url, port and pid as one line of JSON on stdout"
        ),
        *(_option(item) for item in fields(Settings)),
    ],
)
