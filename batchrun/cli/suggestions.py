"""What a mistyped command or flag was meant to be: the nearest one, or ours for the word of another tool."""

import difflib
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

_COMMANDS = {
    "version": "--version",
    "start": "run",
    "resume": "run",
    "submit": "run",
    "ls": "status",
    "list": "status",
    "ps": "status",
    "validate": "check",
    "estimate": "check",
    "cost": "check",
    "dry-run": "check",
    "tail": "watch",
    "follow": "watch",
    "head": "show",
    "cat": "show",
    "view": "show",
    "rows": "show",
    "results": "show",
    "new": "init",
    "create": "init",
    "serve": "simulate",
}
"""Words of other tools → our command or option of the same meaning."""

_FLAGS = {
    "-n": ("--limit", "--num-samples"),
    "-V": ("--version",),
    "-v": ("--version",),
    "-p": ("--template", "--port"),
    "-j": ("--max-concurrency",),
    "-w": ("--max-concurrency",),
    "-q": ("--quiet",),
    "-y": ("--yes",),
    "-f": ("--format",),
    "--api-key": ("--api-key-env",),
    "--key": ("--api-key-env",),
    "--api-base": ("--base-url",),
    "--endpoint": ("--base-url",),
    "--url": ("--base-url",),
    "--budget": ("--max-cost",),
    "--concurrency": ("--max-concurrency",),
    "--parallel": ("--max-concurrency",),
    "--workers": ("--max-concurrency",),
    "--num-workers": ("--max-concurrency",),
    "--force": ("--restart",),
    "--overwrite": ("--restart",),
    "--head": ("--limit",),
    "--max-rows": ("--limit",),
    "--num-rows": ("--limit",),
    "--max-retries": ("--max-attempts",),
    "--retries": ("--max-attempts",),
    "--models": ("--model",),
    "--n": ("--num-samples",),
    "--samples": ("--num-samples",),
    "--dir": ("--out",),
    "--output": ("--out",),
    "--output-dir": ("--out",),
    "--prompt": ("--template",),
    "--system-prompt": ("--system",),
    "--rpm": ("--requests-per-minute",),
    "--tpm": ("--tokens-per-minute",),
    "--timeout": ("--timeout-s",),
}
"""Flags of other tools → ours of the same meaning, as far as the command has them."""

_CUTOFF = 0.5
"""How similar a word must be: `rum` is near `run` (0.67), `prompts.jsonl` is near nothing."""


class SuggestingGroup(click.Group):
    """A group that suggests a command in place of an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of a command line."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"No such command {name!r}.{self._hint(ctx, args)}")
        return super().resolve_command(ctx, args)

    def _hint(self, ctx: click.Context, args: Sequence[str]) -> str:
        name, known = args[0], self.list_commands(ctx)
        path = ctx.command_path
        if name == "help":
            about = [each for each in args[1:2] if each in known]
            return did_you_mean([" ".join([path, *about, "--help"])])
        if Path(name).exists():
            return did_you_mean([f"{path} run {shlex.join(args)}"])
        meant = _COMMANDS.get(name.lower())
        return did_you_mean([meant] if meant else difflib.get_close_matches(name.lower(), known, 2, _CUTOFF))


def explained(problem: click.ClickException) -> click.ClickException:
    """Return an error of the command line; that of an unknown flag with the flag that was meant."""
    if not isinstance(problem, click.NoSuchOption) or problem.ctx is None:
        return problem
    known = {name for each in problem.ctx.command.get_params(problem.ctx) for name in each.opts}
    meant = [name for name in _FLAGS.get(problem.option_name, ()) if name in known]
    if not meant and "--version" in _FLAGS.get(problem.option_name, ()):
        meant = [f"{problem.ctx.find_root().command_path} --version"]
    if not meant:
        return problem
    return click.UsageError(f"{problem.message}{did_you_mean(meant)}", problem.ctx)


def did_you_mean(names: Iterable[str]) -> str:
    """Return the sentence that suggests these; nothing where there are none."""
    shown = " or ".join(names)
    return f" Did you mean {shown}?" if shown else ""
