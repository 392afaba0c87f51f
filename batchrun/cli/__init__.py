"""The command line: which commands there are. Each is a module of its own, imported when it is called."""

import importlib

import click

from batchrun import __version__

_COMMANDS = {
    "run": ("batchrun.cli.run", "run_command", "Run a job file, or a file of prompts; run again, it goes on."),
    "check": ("batchrun.cli.check", "check_command", "Look at a job before it costs: rows, tokens, money, time."),
    "status": ("batchrun.cli.status", "status_command", "Say how a run stands, also while it runs."),
    "watch": ("batchrun.cli.watch", "watch_command", "Look at a run while it goes on, from another terminal."),
    "export": ("batchrun.cli.export", "export_command", "Write the results again from the checkpoint, at no cost."),
    "report": ("batchrun.cli.report", "report_command", "Write a page that shows how a run went."),
    "publish": ("batchrun.cli.publish", "publish_command", "Show a run in W&B Weave, or in W&B."),
    "models": ("batchrun.cli.models", "models_command", "List what the endpoint serves."),
    "simulate": ("batchrun.simulator.command", "simulate", "Start an endpoint to try things on."),
}
"""Name → module, attribute, one line of help: kept here so that the list costs no imports."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of a first day with batchrun."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="batchrun")
def cli() -> None:
    """Run a file of prompts against an OpenAI-compatible endpoint; find an answer in every row.

    \b
    batchrun run jobs/label_reviews.toml
    batchrun run prompts.jsonl -m meta-llama/Llama-3.1-8B-Instruct -o runs/first
    batchrun run questions.csv -t '{{ question }}' -m MODEL -o runs/try --limit 20 --simulate

    Results go to files, words for people to stderr.

    Shell completion: eval "$(_BATCHRUN_COMPLETE=bash_source batchrun)" in ~/.bashrc; for zsh and fish say
    zsh_source and fish_source.
    """
